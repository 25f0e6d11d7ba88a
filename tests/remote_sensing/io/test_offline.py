"""A local file reaches no server and no other file, whatever it names."""

import os
from collections.abc import Iterator
from pathlib import Path

import counting_server
import numpy as np
import pytest
import rasterio

from longllava_domains.errors import DamagedInputError, InputError, LongLlavaError
from longllava_domains.remote_sensing import open_raster

VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>{root}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>
<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>64</UpperLeftY><LowerRightX>64</LowerRightX>
<LowerRightY>0</LowerRightY><SizeX>{size}</SizeX><SizeY>{size}</SizeY><TileLevel>0</TileLevel>
</DataWindow><BlockSizeX>32</BlockSizeX><BlockSizeY>32</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"""
RAW = """<VRTDataset rasterXSize="16" rasterYSize="16"><VRTRasterBand dataType="Byte" band="1"
subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">{name}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>16</LineOffset></VRTRasterBand>
</VRTDataset>"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    with counting_server.serving(counting_server.refuse) as both:
        yield both


def write_tiff(path: Path) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8"
    ) as raster:
        raster.write(np.arange(4096, dtype=np.uint8).reshape(1, 64, 64))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "/vsicurl/{root}/a.tif",
        "/vsicurl?url={root}/a.tif",
        "/vsicurl_streaming/{root}/a.tif",
        "/vsizip//vsicurl/{root}/a.zip/a.tif",
        "{root}/a.tif",
        "/vsis3/bucket/a.tif",
        "wms.xml",
        "inner.vrt",
        "NETCDF:{root}:a",
        "vrt://{root}/a.tif",
        "&lt;GDAL_WMS/&gt;",
    ],
)
@pytest.mark.parametrize("relative", [0, 1])
def test_a_vrt_that_names_a_server_is_refused_unasked(
    tmp_path: Path, server: tuple[str, list[str]], name: str, relative: int
) -> None:
    root, asked = server
    (tmp_path / "wms.xml").write_text(WMS.format(root=root, size=64))
    (tmp_path / "inner.vrt").write_text(VRT.format(name=f"/vsicurl/{root}/b.tif", relative=0))
    path = tmp_path / "scene.tif"  # whatever its name
    path.write_text(VRT.format(name=name.format(root=root), relative=relative))
    with pytest.raises(InputError):
        open_raster(path)
    assert asked == []


def test_descriptions_of_servers_are_no_rasters(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    root, asked = server
    path = tmp_path / "scene.xml"
    path.write_text(WMS.format(root=root, size=64))
    with pytest.raises(InputError):
        open_raster(path)
    assert asked == []


@pytest.mark.parametrize("sidecar", [".ovr", ".msk", ".aux.xml"])
def test_sidecars_reach_no_server(
    tmp_path: Path, server: tuple[str, list[str]], sidecar: str
) -> None:
    root, asked = server
    path = write_tiff(tmp_path / "scene.tif")
    (tmp_path / "wms.xml").write_text(WMS.format(root=root, size=32))
    text = WMS.format(root=root, size=32)
    if sidecar == ".aux.xml":
        text = (
            '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">wms.xml</MDI>'
            "</Metadata></PAMDataset>"
        )
    (tmp_path / f"scene.tif{sidecar}").write_text(text)
    try:
        with open_raster(path) as raster:
            raster.to_sequence()
    except LongLlavaError:
        pass
    assert asked == []


def test_a_system_file_is_not_read_as_pixels(tmp_path: Path) -> None:
    (tmp_path / "private").write_bytes(bytes(range(256)))
    path = tmp_path / "raw.vrt"
    path.write_text(RAW.format(name=tmp_path / "private"))
    with pytest.raises(InputError) as refused:
        open_raster(path)
    assert refused.value.code == "raster.vrt_source"


def test_plain_files_are_still_joined_by_a_vrt_also_one_in_another(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif")
    (tmp_path / "inner.vrt").write_text(VRT.format(name="a.tif", relative=1))
    (tmp_path / "outer.vrt").write_text(VRT.format(name=tmp_path / "inner.vrt", relative=0))
    with open_raster(tmp_path / "outer.vrt") as raster:
        assert (raster.width, raster.height) == (64, 64)
        assert raster.to_sequence().views


@pytest.mark.parametrize(
    "text",
    [
        "<VRTDataset",
        '<VRTDataset><!DOCTYPE a [<!ENTITY b "c">]></VRTDataset>',
        "<VRTDataset>" * 200_000,
        VRT.format(name="scene.vrt", relative=1),
    ],
)
def test_broken_and_circular_descriptions_are_damaged_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scene.vrt"
    path.write_text(text)
    with pytest.raises(DamagedInputError):
        open_raster(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scene.tif")
    (tmp_path / "scene.vrt").write_text(VRT.format(name="scene.tif", relative=1))
    for name in ("scene.tif", "scene.vrt"):
        with pytest.raises(InputError):
            open_raster(tmp_path / name)
