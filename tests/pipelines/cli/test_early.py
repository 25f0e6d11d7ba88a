"""What is cheap to see is refused before an input is read, and a refusal says which file it is about."""

import re
from importlib import import_module
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
    # What takes the function by name takes it now, before it is replaced.
    for module in ("domains.ct", "ct.report"):
        import_module(f"longllava_domains.pipelines.{module}")

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


def test_a_refused_scan_leaves_no_secret_that_it_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    private = tmp_path / "private"
    scan = ["archive", "scan", str(tmp_path / "empty"), "--domain", "ct"]
    files = ["-o", str(private / "manifest.parquet"), "--secret", str(private / "secret")]
    assert run([*scan, *files]) == 2
    assert "Nothing was found" in capfd.readouterr().err
    assert not (private / "secret").exists()


def test_a_series_of_one_slice_is_told_as_no_volume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = sorted(Path(PHANTOM).iterdir())[0]
    assert run(["series", str(one)]) == 0
    assert "--repair single" in capfd.readouterr().out


@pytest.mark.parametrize("command", [["report", PHANTOM, "--model", "demo"], ["verify", "demo"]])
def test_json_is_not_written_under_the_name_of_another_kind(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.pdf"
    assert run([*command, "--out", str(out)]) == 2
    assert "End it with .json." in capfd.readouterr().err
    assert not out.exists()


def test_a_finding_that_is_no_column_is_told_with_the_nearest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels, results = tmp_path / "labels.csv", tmp_path / "scores.csv"
    labels.write_text("VolumeName,Lung nodule\na,1\nb,0\n")
    results.write_text("VolumeName,Lung nodule\na,0.9\nb,0.2\n")
    own = ["evaluate", "own", str(labels), "--results", str(results)]
    assert run([*own, "--finding", "Lung nodul"]) == 2
    said = capfd.readouterr().err
    assert "Lung nodule" in said
    assert "--finding" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report", PHANTOM, "\u2013model", "demo"], "Write --model, with two short ones."),
        (["views", PHANTOM, "--out", "a.png", "--out", "b.png"], "--out is given 2 times."),
        (["views", PHANTOM, "--out", "a.png", "--out=b.png"], "--out is given 2 times."),
        (
            ["views", PHANTOM, "--out", "a.png", "--window", "lung,mediastinum"],
            "Repeat --window for several.",
        ),
        (["evaluate", "needle", "--model", "demo", "--depths", "50%"], "commas between them"),
        (
            [
                "archive",
                "plan",
                "idc",
                "--domain",
                "ct",
                "--seconds-per-item",
                "9",
                "--read-mb",
                "9",
            ],
            "with its colon",
        ),
        (["archive", "where", "k", "--linkage", "labels.csv"], "linkage.parquet"),
        (
            ["archive", "run", "labels.csv", "--task", "views", "--output", "out"],
            "Name the manifest, or add --domain ct",
        ),
        (
            ["data", "check", "labels.csv", "--layout", "ct-rate", "--model", "demo"],
            "no CT-RATE here",
        ),
        (["inspect", "adapter"], "Name the model that it was trained on."),
        (["report", PHANTOM, "--model", "adapter"], "give the folder with --adapter"),
        (
            ["evaluate", "own", "labels.csv", "--results", "percent.csv"],
            "no per cent (70) and no comma",
        ),
        (["evaluate", "own", "empty.csv", "--results", "percent.csv"], "it holds no row"),
        (
            ["views", "pictures", "--domain", "image", "--out", "a.png"],
            "longllava ask takes several",
        ),
        (["publish", "nowhere", "me/mine"], "There is no such folder."),
        (["finetune", "own", "--set", "lora.rank=8", "--show"], "such as own-lora"),
        (["data", "check", "labels.csv", "--layout", "vqarad", "--model", "demo"], "mean vqa-rad?"),
    ],
)
def test_what_tired_people_type_is_told_in_words_that_help(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("VolumeName,Lung nodule\na,1\nb,0\n")
    (tmp_path / "percent.csv").write_text("VolumeName,Lung nodule\na,70\nb,20\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    assert run(arguments) == 2
    assert told in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("too_few", ["1", "1038", "1039", "1324"])
def test_the_first_refusal_of_a_budget_names_one_that_is_accepted(
    too_few: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_scene(str(tmp_path / "scene.tif"))
    views = ["views", str(tmp_path / "scene.tif"), "--out", str(tmp_path / "v.png"), "--max-tokens"]
    assert run([*views, too_few]) == 2
    named = re.search(r"Raise --max-tokens to (\d+) at least", capfd.readouterr().err)
    assert named is not None
    assert run([*views, named[1]]) == 0


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ("nope.geojson", "a GeoJSON file that is there, not a file that is not there."),
        ("cut.geojson", "is damaged or cut short: it is not JSON."),
        ("10,10", "the raster, which lies in -75.0000"),
    ],
)
def test_an_area_that_is_refused_says_what_was_found(
    area: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scene("scene.tif")
    Path("cut.geojson").write_text('{"type": "Polygon", "coordin')
    assert run(["views", "scene.tif", "--out", "v.png", "--aoi", area]) == 2
    told = capfd.readouterr().err
    assert said in told
    assert "Did you mean" not in told
