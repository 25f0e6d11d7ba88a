"""Doors that rasters and slides come through."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import raster_builder
import slide_builder
from hostile_door import Door


def raster(name: str, dtype: str = "uint8", **profile: Any) -> Callable[[Path], Door]:
    """A raster that is opened and shown."""

    def make(folder: Path) -> Door:
        from longllava_domains.remote_sensing import open_raster

        target = folder / name
        if name.endswith(".zip"):
            raster_builder.write(folder / "a.tif", raster_builder.scene(1, "uint8", 96, 80))
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(folder / "a.tif", "a.tif")
        elif name.endswith(".png"):
            target.write_bytes(imagecodecs.png_encode(raster_builder.scene(1, "uint8", 96, 80)[0]))
        elif name.endswith(".vrt"):
            raster_builder.write(folder / "a.tif", raster_builder.scene(1, "uint8"))
            target.write_text(
                '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" '
                'band="1"><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
                '<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>'
                '<DstRect xOff="0" yOff="0" xSize="64" ySize="64"/></SimpleSource>'
                "</VRTRasterBand></VRTDataset>"
            )
        else:
            raster_builder.write(target, raster_builder.scene(3, dtype, 96, 80), **profile)

        def enter() -> Any:
            with open_raster(target) as opened:
                return opened.to_sequence()

        return Door(target.read_bytes(), target, enter)

    return make


def slide(name: str) -> Callable[[Path], Door]:
    """A slide whose smallest level is read whole."""

    def make(folder: Path) -> Door:
        from longllava_domains.pathology import open_slide

        tile, slide_builder.TILE = slide_builder.TILE, 64
        image = slide_builder.tissue(150, 120, seed=2, islands=1)
        target = folder / name
        try:
            if name == "jpeg2000.svs":
                slide_builder.jpeg2000_svs(target, ycbcr=True, transform=False)
            elif name.endswith(".dcm"):
                codec = name.removesuffix(".dcm")
                photometric = "YBR_RCT" if codec == "jpeg2000" else "RGB"
                made = slide_builder.dicom(
                    folder / "made", image, factors=(1,), label=False, codec=codec,
                    photometric=photometric,
                )  # fmt: skip
                next(made.iterdir()).rename(target)
            else:
                slide_builder.tiff(target, image, factors=(2,))
        finally:
            slide_builder.TILE = tile

        def enter() -> Any:
            with open_slide(target, mpp=0.5) as opened:
                return opened.read(0, 0, *opened.size, mpp=0.5)

        return Door(target.read_bytes(), target, enter)

    return make


def stac(folder: Path) -> Door:
    from longllava_domains.remote_sensing import open_raster

    raster_builder.write(folder / "a.tif", raster_builder.scene(1, "uint8", 64, 64))
    asset = {"href": "./a.tif", "type": "image/tiff", "roles": ["data"],
             "raster:bands": [{"scale": 0.1, "offset": 1}], "eo:bands": [{"name": "B1"}]}  # fmt: skip
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "a", "bbox": [3, 48, 3, 48],
        "geometry": {"type": "Point", "coordinates": [3, 48]}, "links": [],
        "properties": {"datetime": "2024-05-01T12:00:00Z"}, "assets": {"data": asset},
    }  # fmt: skip
    target = folder / "item.json"
    return Door(json.dumps(item).encode(), target, lambda: open_raster(target).close())


PICTURES: dict[str, Callable[[Path], Door]] = {
    "tiff deflate": raster("a.tif", "uint16", compress="deflate"),
    "tiff lzw tiled": raster(
        "a.tif", "uint16", compress="lzw", tiled=True, blockxsize=32, blockysize=32
    ),
    "tiff plain": raster("a.tif", "uint16"),
    "tiff jpeg": raster("a.tif", compress="jpeg", photometric="ycbcr"),
    "tiff lerc": raster("a.tif", "float32", compress="lerc"),
    "tiff webp": raster("a.tif", compress="webp"),
    "jp2": raster("a.jp2", driver="JP2OpenJPEG"),
    "imagine": raster("a.img", driver="HFA", compressed="yes"),
    "raster zip": raster("a.zip"),
    "png": raster("a.png"),
    "vrt": raster("a.vrt"),
    "stac": stac,
    "slide jpeg": slide("a.tif"),
    "slide jpeg2000": slide("jpeg2000.svs"),
    "slide dicom": slide("jpeg2000.dcm"),
    "slide dicom jpeg-ls": slide("jpeg-ls.dcm"),
}
