"""Hostile sources end in a named error that says nothing of paths, never in silence."""

import zipfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import raster_builder as builder
import rasterio

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.remote_sensing.io.metadata import require_pixels
from longllava_domains.visual.strips import PixelWindow

VRT = """<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{band}</VRTDataset>"""
BAND = """<VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{name}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand>"""


def refused(error, source, **options) -> Any:
    with pytest.raises(error) as caught:
        open_raster(source, **options)
    return caught.value


def test_what_is_not_there_is_not_found(tmp_path) -> None:
    refused(NotFoundError, tmp_path / "secret_place.tif")
    refused(NotFoundError, "/vsizip/" + str(tmp_path / "none.zip") + "/x.tif")
    refused(NotFoundError, "")


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n", b"II*", b"{}"])
def test_what_is_no_raster_is_refused(tmp_path, data) -> None:
    path = tmp_path / "secret_place.tif"
    path.write_bytes(data)
    error = refused((UnsupportedInputError, DamagedInputError), path)
    assert "secret_place" not in str(error)
    refused(LongLlavaError, tmp_path)  # a folder


@pytest.mark.parametrize("source", [None, 5, [], {"a": 1}.keys(), b"x" * 3, [None], object()])
def test_sources_of_no_known_kind_are_refused(source) -> None:
    refused(LongLlavaError, source)


@pytest.mark.parametrize(
    "hazard", ["tiled", "strips_one_row", "one_giant_strip_raw", "internal_mask"]
)
def test_a_truncated_file_is_damaged_and_no_row_is_made_up(raster_file, tmp_path, hazard) -> None:
    data = raster_file(hazard).read_bytes()
    path = tmp_path / "secret_place.tif"
    path.write_bytes(data[: int(len(data) * 0.6)])
    with pytest.raises(DamagedInputError) as caught:
        list(open_raster(path).views())
    assert "secret_place" not in str(caught.value)


@pytest.mark.parametrize(
    "hazard", ["tiled", "strips_sixteen_rows", "bigtiff_zstd", "jpeg_ycbcr", "one_giant_strip"]
)
def test_a_corrupt_block_is_damaged(raster_file, tmp_path, hazard) -> None:
    path = tmp_path / "x.tif"
    import tifffile

    data = bytearray(raster_file(hazard).read_bytes())
    with tifffile.TiffFile(raster_file(hazard)) as file:
        page = file.pages[0]
        block = len(page.dataoffsets) // 2
        offset, count = page.dataoffsets[block], page.databytecounts[block]
    data[offset : offset + count] = b"\x5a" * count
    path.write_bytes(data)
    with pytest.raises(DamagedInputError):
        open_raster(path, stretch="auto").to_sequence()


def test_a_vrt_whose_source_is_gone_is_named_on_opening(tmp_path) -> None:
    path = tmp_path / "x.vrt"
    path.write_text(
        VRT.format(width=9, height=9, band=BAND.format(relative=1, name="secret_gone.tif"))
    )
    error = refused(NotFoundError, path)
    assert error.facts == {"missing": 1, "sources": 1}
    assert "secret_gone" not in str(error)


def stacked(path, sources, inner="") -> Any:
    """Write a VRT whose bands are band 1 of files, each with its own type."""
    bands = ""
    for number, source in enumerate(sources, 1):
        with rasterio.open(source) as dataset:
            kind = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}[dataset.dtypes[0]]
            width, height = dataset.width, dataset.height
        bands += (
            f'<VRTRasterBand dataType="{kind}" band="{number}">{inner}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{source.name}</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        )
    path.write_text(VRT.format(width=width, height=height, band=bands))
    return path


def test_bands_of_different_types_are_read_together(tmp_path) -> None:
    kinds = ("uint8", "uint16", "float32")
    files = [builder.write(tmp_path / f"{kind}.tif", builder.scene(1, kind)) for kind in kinds]
    raster = open_raster(stacked(tmp_path / "mixed.vrt", files))
    pixels = raster.source.read(PixelWindow(0, 0, raster.width, raster.height))
    for channel, kind in enumerate(kinds):
        np.testing.assert_array_equal(pixels.values[..., channel], builder.scene(1, kind)[0])


@pytest.mark.parametrize("word", ["<Scale>0</Scale>", "<Scale>nan</Scale>", "<Offset>nan</Offset>"])
def test_a_scale_that_leaves_nothing_to_see_is_refused(word, tmp_path) -> None:
    file = builder.write(tmp_path / "a.tif", builder.scene(1, "uint16"))
    with pytest.raises(DamagedInputError, match="scale"):
        open_raster(stacked(tmp_path / "scaled.vrt", [file] * 3, word))


def test_a_vrt_is_read_like_what_it_stands_for(raster_file, tmp_path) -> None:
    path = tmp_path / "x.vrt"
    band = BAND.format(relative=0, name=raster_file("tiled"))
    path.write_text(VRT.format(width=builder.WIDTH, height=builder.HEIGHT, band=band))
    view = open_raster(path).to_sequence()[1]
    expected = open_raster(raster_file("tiled"), bands=1).to_sequence()[1]
    np.testing.assert_array_equal(view.pixels, expected.pixels)


def test_a_container_without_bands_names_its_subdatasets() -> None:
    container = SimpleNamespace(count=0, subdatasets=["a", "b"], width=9, height=9)
    with pytest.raises(NotFoundError, match="2 subdatasets"):
        require_pixels(container)


@pytest.mark.parametrize(("width", "height"), [(2**24 + 1, 5), (5, 2**24 + 1), (2**23, 2**23)])
def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path, width, height) -> None:
    path = tmp_path / "x.vrt"
    band = '<VRTRasterBand dataType="Float64" band="1"></VRTRasterBand>'
    path.write_text(VRT.format(width=width, height=height, band=band))
    refused(UnsupportedInputError, path)


def test_complex_numbers_are_refused(raster_file) -> None:
    error = refused(UnsupportedInputError, raster_file("complex_values"))
    assert error.code == "raster.complex"


def test_a_raster_inside_a_zip_is_read(raster_file, tmp_path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(raster_file("tiled"), "x.tif")
    raster = open_raster(f"/vsizip/{archive}/x.tif")
    expected = open_raster(raster_file("tiled")).to_sequence().content_sha256()
    assert raster.to_sequence().content_sha256() == expected
    assert raster.origin.hrefs[0].endswith("x.tif")


def test_unreachable_links_are_named(tmp_path) -> None:
    refused(NetworkError, "http://127.0.0.1:9/x.tif")
    refused(NetworkError, "/vsicurl/http://127.0.0.1:9/x.tif")


@pytest.mark.parametrize(
    "hazard", [hazard.__name__ for hazard in (*builder.LAYOUTS, *builder.CONTENTS)]
)
def test_every_fixture_gives_views_of_one_size(raster_file, hazard) -> None:
    sequence = open_raster(raster_file(hazard)).to_sequence(GridPolicy(tile_px=224))
    assert {view.pixels.shape for view in sequence.views[1:]} == {(224, 224, 3)}
    assert sequence.layout == "grid"


def test_a_closed_raster_leaves_its_sequence_usable(raster_file) -> None:
    with open_raster(raster_file("tiled")) as raster:
        sequence = raster.to_sequence()
    assert sequence[1].place.pixel_to_map(0, 0) == (500000.0, 5400000.0)
    with pytest.raises(LongLlavaError):
        raster.source.read(PixelWindow(0, 0, 5, 5))


def test_the_band_facts_of_a_plain_png_are_enough(tmp_path) -> None:
    path = tmp_path / "photo.png"
    with rasterio.open(
        path, "w", driver="PNG", width=20, height=10, count=3, dtype="uint8"
    ) as dataset:
        dataset.write(builder.scene(3, "uint8", 20, 10))
    assert open_raster(path).georeference.kind == "none"


def test_nothing_is_printed_or_logged_while_a_raster_is_read(
    raster_file, tmp_path, capfd, caplog
) -> None:
    open_raster(raster_file("no_georeference")).to_sequence()
    with pytest.raises(PolicyError):
        open_raster(raster_file("tiled"), bands=(1, 2))
    damaged = tmp_path / "secret_place.tif"
    data = bytearray(raster_file("tiled").read_bytes())
    data[130] ^= 255
    damaged.write_bytes(data[:3000])
    with pytest.raises(LongLlavaError):
        open_raster(damaged).to_sequence()
    assert not caplog.records
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
