"""What a file begins like is read once, whatever it holds."""

import gzip
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from longllava_domains.formats.magic import read_magic

ROOT = Path(__file__).parents[2]
SLICE = ROOT / "examples/chest_phantom/slice_000.dcm"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def written(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


def test_dicom_is_told_with_its_class_also_without_a_preamble(tmp_path: Path) -> None:
    found = read_magic(SLICE)
    assert (found.kind, found.sop_class) == ("dicom", CT_CLASS)
    bare = SLICE.read_bytes()[132:]
    assert read_magic(written(tmp_path, bare)).kind == "dicom"


def test_nifti_is_told_through_gzip_and_any_other_gzip_is_not(tmp_path: Path) -> None:
    assert read_magic(ROOT / "examples/chest_phantom.nii.gz").kind == "nifti"
    plain = gzip.decompress((ROOT / "examples/chest_phantom.nii.gz").read_bytes())
    assert read_magic(written(tmp_path, plain)).kind == "nifti"
    assert read_magic(written(tmp_path, gzip.compress(b"tar" * 200))).kind == "gzip"
    assert read_magic(written(tmp_path, gzip.compress(plain)[:40])).kind == "gzip"


@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
def test_a_tiff_gives_its_place_and_its_description(tmp_path: Path, bigtiff: str) -> None:
    path = tmp_path / "a.tif"
    profile = {"width": 8, "height": 8, "count": 1, "dtype": "uint8", "BIGTIFF": bigtiff}
    placed = {"crs": "EPSG:32618", "transform": from_origin(0, 9, 1, 1)}
    with rasterio.open(path, "w", driver="GTiff", **profile, **placed) as raster:
        raster.write(np.ones((1, 8, 8), np.uint8))
    assert read_magic(path).georeferenced
    for text in ("Aperio Image Library v10\r\n|AppMag = 20", "<OME/>", "abc"):
        tifffile.imwrite(path, np.zeros((8, 8), np.uint8), description=text, metadata=None)
        found = read_magic(path)
        assert (found.kind, found.georeferenced, found.description) == ("tiff", False, text)
        assert text not in repr(found)


def test_other_kinds_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    kinds = {
        b"": "empty",
        b"hello": "unknown",
        b"\xff\xd8\xff\xe0": "jpeg",
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\x4f\xff\x51": "jpeg2000",
        b"\x89HDF\r\n\x1a\n": "hdf5",
        b" <VRTDataset rasterXSize='1'>": "vrt",
        b"<?xml version='1.0'?><VRTDataset>": "vrt",
        b"<html>": "xml",
        b"[1, 2]": "json",
        b"{broken": "json",
    }
    for data, kind in kinds.items():
        found = read_magic(written(tmp_path, data))
        assert (found.kind, found.size, found.keys) == (kind, len(data), frozenset())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"b")
    assert read_magic(tmp_path / "a.zip").kind == "zip"
    item = json.dumps({"stac_version": "1.0.0", "id": "SECRET"}).encode()
    assert read_magic(written(tmp_path, item)).keys == {"stac_version", "id"}


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        read_magic(tmp_path / "pipe")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_damage_leaves_an_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Flips, cuts and foreign starts of each kind of file; an OSError is for the file system."""
    seeds = [
        SLICE.read_bytes()[:3000],
        b"II*\0\x08\0\0\0\x02\0\x0e\x01\x02\0\xff\xff\xff\xff\x08\0\0\0" + b"\0" * 20,
        b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10" + b"\xff" * 60,
        b"{" + b'"a":[' * 100,
        gzip.compress(b"\0" * 2000),
    ]
    content = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert read_magic(path).size == path.stat().st_size
