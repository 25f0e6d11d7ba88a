"""What is a raster is known by its content, and folders and archives are opened as what is in them."""

import zipfile
from typing import Any

import hard_rasters as hard
import numpy as np
import pytest
import raster_builder as builder
import rasterio
from affine import Affine

from longllava_domains.errors import AmbiguousInputError, NotFoundError
from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.recognise import is_raster

EAST = builder.NORTH_UP @ Affine.translation(builder.WIDTH, 0)


def as_driver(path, driver) -> Any:
    with rasterio.open(
        path, "w", driver=driver, width=80, height=60, count=1, dtype="uint8",
        crs=builder.UTM_31N, transform=builder.NORTH_UP,
    ) as file:  # fmt: skip
        file.write(builder.scene(1, "uint8", 80, 60))
    return path


@pytest.mark.parametrize("driver", ["JP2OpenJPEG", "PNG", "HFA", "GTiff"])
def test_formats_of_rasters_are_recognised(tmp_path, driver) -> None:
    """Family: good data refused; whatever the ending says."""
    path = as_driver(tmp_path / "scene.bin", driver)
    assert is_raster(path)
    assert open_raster(path).width == 80


def test_netcdf_and_its_variables_are_recognised(tmp_path) -> None:
    """Family: good data refused; containers hold several rasters."""
    grid = np.arange(1200, dtype=np.float32).reshape(30, 40)
    path = hard.netcdf(tmp_path / "sea.nc", {"sst": grid, "ice": grid + 1})
    assert is_raster(path)
    with pytest.raises(NotFoundError, match="2 subdatasets"):
        open_raster(path)
    name = f'NETCDF:"{path}":ice'
    assert is_raster(name)
    raster = open_raster(name, crs="EPSG:4326")  # the classic format names no CRS
    assert (raster.width, raster.height) == (40, 30)
    assert raster.pixel_to_lonlat(20, 15) == pytest.approx((10, 45), abs=0.01)
    assert raster.provenance["source_href"] == "sea.nc:ice"
    assert raster.input_sha256 is not None


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_a_folder_or_zip_of_geotiffs_is_a_mosaic(tmp_path, how) -> None:
    """Family: good data refused; a zip is no CT because it is a zip."""
    folder = tmp_path / "scenes & more"
    (folder / "in").mkdir(parents=True)
    builder.tiled(folder / "in" / "west.tif")
    builder.tiled(folder / "in" / "east.TIF", transform=EAST)
    (folder / "readme.txt").write_text("about")
    source = folder
    if how == "zip":
        source = tmp_path / "delivery"
        with zipfile.ZipFile(source, "w") as archive:
            for path in folder.rglob("*.*"):
                archive.write(path, path.relative_to(folder))
    assert is_raster(source)
    raster = open_raster(source)
    assert (raster.width, raster.report.source_kind) == (2 * builder.WIDTH, "mosaic")
    assert raster.input_sha256 is not None
    assert str(tmp_path) not in raster.provenance["source_href"]


def test_bands_or_dates_in_a_folder_are_no_mosaic(tmp_path) -> None:
    """Family: a reading that is possible taken for the one that is meant."""
    for name in ("B02.tif", "B03.tif", "B04.tif"):
        builder.tiled(tmp_path / name, data=builder.scene(1))
    with pytest.raises(AmbiguousInputError, match="bands"):
        open_raster(tmp_path)


def test_what_may_be_a_slide_or_a_ct_is_not_taken_for_a_raster(tmp_path) -> None:
    """Family: inputs of another domain."""
    plain = builder.no_georeference(tmp_path / "plain.tif")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.writestr("a.dcm", b"\0" * 128 + b"DICM")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    for source in (
        plain,
        tmp_path / "ct.zip",
        tmp_path / "empty",
        tmp_path / "text",
        "missing.tif",
    ):
        assert not is_raster(source)
    with pytest.raises(NotFoundError, match="no GeoTIFF"):
        open_raster(tmp_path / "empty")
