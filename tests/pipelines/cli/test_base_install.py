"""On the base install, without the extras, every command ends in a sentence that says what to install."""

import sys
from pathlib import Path

import pytest
from blank_scene import write_scene
from PIL import Image

from longllava_domains.extras import _NEEDS
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.doctor import examine

MODEL = ["--model", "demo"]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of every kind, where no library of an extra can be imported."""
    write_scene(str(tmp_path / "placed.tif"))
    Image.new("RGB", (64, 64), (120, 90, 60)).save(tmp_path / "plain.tif")
    (tmp_path / "rasters").mkdir()
    (tmp_path / "placed.tif").rename(tmp_path / "rasters/placed.tif")
    libraries = {name for names in _NEEDS.values() for name in names}
    for name in [*sys.modules, *libraries]:
        if name.partition(".")[0] in libraries:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", ["plain.tif", "rasters/placed.tif", "rasters"])
@pytest.mark.parametrize(
    ("command", "domain", "told"),
    [
        (["ask", "SOURCE", "What is it?", *MODEL], [], "--domain remote_sensing"),
        (["find", "SOURCE", "ship", *MODEL], [], "longllava-domains[remote-sensing]"),
        (["views", "SOURCE", "--out", "v.png"], [], "--domain remote_sensing"),
        (["views", "SOURCE", "--out", "v.png"], ["--domain", "remote_sensing"], "[remote-sensing]"),
        (["views", "SOURCE", "--out", "v.png"], ["--domain", "pathology"], "[pathology]"),
    ],
)
def test_a_command_without_its_extra_says_what_to_type(
    command: list[str], domain: list[str], told: str, source: str, base: Path, capfd
) -> None:
    arguments = [source if word == "SOURCE" else word for word in command]
    assert run([*arguments, *domain]) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert told in said or (source == "rasters" and "Refused" in said)


@pytest.mark.usefixtures("base")
def test_the_doctor_calls_extras_absent_and_finds_nothing_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = {"rasterio", "geopandas", "openslide-python"}
    known = sys.modules["longllava_domains.pipelines.doctor"].version
    absent = sys.modules["longllava_domains.pipelines.doctor"].PackageNotFoundError

    def version(name: str) -> str:
        if name in own:
            raise absent(name)
        return known(name)

    monkeypatch.setattr("longllava_domains.pipelines.doctor.version", version)
    found = {one.name: one for one in examine()}
    assert {found[name].status for name in own} == {"absent"}
    assert "[remote-sensing]" in found["rasterio"].detail
    assert not [one for one in found.values() if one.status == "failed"]
