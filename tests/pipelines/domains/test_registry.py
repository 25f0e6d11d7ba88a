"""Which domain an input belongs to: by evidence, by the user's word, and by other packages."""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.pipelines.domains.registry import decide_domain, domains, settings_for
from longllava_domains.pipelines.views import views_of

ROOT = Path(__file__).parents[3]


def write_tiff(path: Path, **profile: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", **profile
    ) as raster:
        raster.write(np.ones((1, 8, 8), np.uint8))
    return path


@pytest.mark.parametrize("name", ["chest_phantom", "chest_phantom.nii.gz"])
def test_ct_files_are_told_by_their_bytes(name: str) -> None:
    assert decide_domain(ROOT / "examples" / name).name == "ct"


def test_one_dicom_file_without_a_suffix_is_a_ct(tmp_path: Path) -> None:
    (tmp_path / "I1").write_bytes((ROOT / "examples/chest_phantom/slice_000.dcm").read_bytes())
    assert decide_domain(tmp_path / "I1").name == "ct"


def test_a_georeferenced_tiff_is_a_raster(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", crs="EPSG:32618", transform=from_origin(0, 9, 1, 1))
    assert decide_domain(path).name == "remote_sensing"


def test_ground_control_points_are_a_georeference(tmp_path: Path) -> None:
    corners = [
        GroundControlPoint(row, col, 10 + col, 50 - row) for row, col in ((0, 0), (0, 8), (8, 0))
    ]
    path = write_tiff(tmp_path / "a.tif", crs="EPSG:4326", gcps=corners)
    assert decide_domain(path).name == "remote_sensing"


@pytest.mark.parametrize(
    "description", ["Aperio Image Library v10\r\n|AppMag = 20", "<OME xmlns='ome'></OME>"]
)
def test_slides_are_told_by_their_description(tmp_path: Path, description: str) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint8), description=description, metadata=None)
    assert decide_domain(path).name == "pathology"


def test_a_plain_tiff_is_refused_and_the_remedy_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(AmbiguousInputError, match="--domain"):
        decide_domain(path)
    assert decide_domain(path, "remote-sensing").name == "remote_sensing"


def test_a_stac_item_is_a_raster_and_other_json_is_not(tmp_path: Path) -> None:
    item, other = tmp_path / "item.json", tmp_path / "other.json"
    item.write_text(json.dumps({"stac_version": "1.0.0", "type": "Feature"}))
    other.write_text(json.dumps({"a": 1}))
    assert decide_domain(item).name == "remote_sensing"
    with pytest.raises(UnsupportedInputError, match="it is JSON"):
        decide_domain(other)


def test_a_folder_of_two_domains_is_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", crs="EPSG:32618", transform=from_origin(0, 9, 1, 1))
    (tmp_path / "b.dcm").write_bytes((ROOT / "examples/chest_phantom/slice_000.dcm").read_bytes())
    with pytest.raises(AmbiguousInputError):
        decide_domain(tmp_path)


def test_nothing_there_and_unknown_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        decide_domain(tmp_path / "absent")
    with pytest.raises(UnsupportedInputError, match="ct, pathology, remote_sensing or image"):
        decide_domain(tmp_path, "mri")


def test_urls_are_rasters_without_being_opened() -> None:
    assert decide_domain("https://host.invalid/scene.tif").name == "remote_sensing"


def test_a_pipe_is_refused_at_once_and_without_its_path(tmp_path: Path) -> None:
    pipe = tmp_path / "DOE_JOHN.dcm"
    os.mkfifo(pipe)
    with pytest.raises(NotFoundError, match="cannot be read") as caught:
        decide_domain(pipe)
    assert "DOE" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_folder_is_looked_into_past_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b.dcm").write_bytes((ROOT / "examples/chest_phantom/slice_000.dcm").read_bytes())
    assert decide_domain(tmp_path).name == "ct"


def test_a_zip_of_rasters_is_no_ct(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", crs="EPSG:32618", transform=from_origin(0, 9, 1, 1))
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "a.tif")
    assert decide_domain(tmp_path / "scenes.zip").name == "remote_sensing"


def test_two_inputs_are_for_rasters_only() -> None:
    path = str(ROOT / "examples/chest_phantom")
    with pytest.raises(PolicyError, match="asked about alone"):
        domains()["ct"].open([path, path], settings_for(domains()["ct"], {}))


def test_a_setting_that_a_domain_does_not_know_is_refused_by_its_option() -> None:
    with pytest.raises(PolicyError, match="--max-tokens would change nothing for a CT"):
        settings_for(domains()["ct"], {"max_tokens": 9000, "spacing_mm": None})
    assert settings_for(domains()["ct"], {"spacing_mm": 3.0}).spacing_mm == 3.0


SOUND = """
from contextlib import nullcontext
from dataclasses import dataclass
import numpy as np
from longllava_domains.visual import SlidePlace, View, VisualSequence

@dataclass(frozen=True)
class Settings:
    loudness: float = 1.0

class Sound:
    name, noun, settings = "sound", "a recording", Settings
    def recognises(self, evidence):
        return "certain" if evidence.kind == "unknown" else "no"
    def open(self, sources, settings):
        return nullcontext(open(sources[0], "rb").read())
    def policy(self, settings, view_format):
        return settings.loudness
    def to_sequence(self, opened, policy):
        pixels = np.full((8, 8, 3), len(opened), np.uint8)
        return VisualSequence((View(pixels, SlidePlace(0, 0, 8, 8, 0, 1.0)),))

sound = Sound()
"""


@pytest.fixture
def sound_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package, installed beside ours, that adds a domain."""
    site = tmp_path / "site"
    facts = site / "sound-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "sound_domain.py").write_text(SOUND)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: sound\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[longllava_domains.domains]\nsound = sound_domain:sound\n"
    )
    monkeypatch.syspath_prepend(site)
    domains.cache_clear()
    yield
    domains.cache_clear()


def test_another_package_adds_a_domain_of_its_own(sound_package: None, tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"RIFF" + bytes(40))
    assert decide_domain(recording).name == "sound"
    assert views_of(recording)[0].pixels.max() == 44
    with pytest.raises(UnsupportedInputError, match=r"image or sound"):
        decide_domain(recording, "mri")


@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
@pytest.mark.parametrize("left", [9, 20, -4])
def test_a_tiff_cut_short_is_called_damaged_not_undecided(
    bigtiff: str, left: int, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "a.tif", BIGTIFF=bigtiff)
    with tifffile.TiffFile(path) as file:
        first = file.pages.first
        end = first.offset + file.tiff.tagnosize + len(first.tags) * file.tiff.tagsize
    path.write_bytes(path.read_bytes()[: left if left > 0 else end + left])
    with pytest.raises(DamagedInputError):
        decide_domain(path)
    path.write_bytes(b"II*\0" + bytes(12))  # a directory at 0, of no entries
    with pytest.raises((AmbiguousInputError, DamagedInputError)):
        decide_domain(path)
