"""What is cheap to see is refused before an input is read, and a refusal says which file it is about."""

from pathlib import Path

import pytest
from blank_scene import write_scene

from longllava_domains.pipelines.cli.main import run

ROOT = Path(__file__).parents[3]
PHANTOM = str(ROOT / "examples/chest_phantom")
ADAPTERS = {
    "demo-cc": "--adapter: There is no adapter of that name",
    "demo-pathology": "demo-pathology was taught another domain than ct",
}


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CT may be opened."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the CT was read")

    monkeypatch.setattr("longllava_domains.pipelines.ct.as_volume.as_volume", refuse)
    monkeypatch.setattr("longllava_domains.pipelines.domains.ct.CTDomain.open", refuse)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("command", [["report", PHANTOM], ["ask", PHANTOM, "Is it clear?"]])
def test_an_adapter_that_cannot_be_used_is_refused_before_the_ct_is_read(
    command: list[str], adapter: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--model", "demo", "--adapter", adapter]) == 2
    assert ADAPTERS[adapter] in capfd.readouterr().err


def test_an_adapter_of_another_domain_is_refused_before_a_search(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "scene.tif"
    write_scene(str(scene))
    assert run(["find", str(scene), "ship", "--model", "demo", "--adapter", "demo-ct"]) == 2
    assert "another domain than remote_sensing" in capfd.readouterr().err


def test_forgetting_says_which_file_is_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "none.parquet")
    assert run(["archive", "forget", "key", "--manifest", absent, "--linkage", absent]) == 2
    assert "--linkage: There is no such" in capfd.readouterr().err


def test_verify_names_its_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "demo", "--out", str(tmp_path / "none" / "v.json")]) == 2
    assert "--out: " in capfd.readouterr().err


def test_a_table_that_is_none_is_told_with_the_columns_that_it_needs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("scan,Lung nodule\na,1\n")
    reports = tmp_path / "reports"
    reports.mkdir()
    out = ["--output", str(tmp_path / "new.json"), "--population", "drawings"]
    assert run(["calibrate", str(reports), str(labels), *out]) == 2
    assert "Name a CSV whose first line names VolumeName." in capfd.readouterr().err
