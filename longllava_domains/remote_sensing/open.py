"""`open_raster`: from a path, link, list or STAC document to a `Raster`."""

import os
from collections.abc import Sequence
from typing import Any

from longllava_domains.errors import PolicyError
from longllava_domains.remote_sensing.bands import BandChoice, choose_bands
from longllava_domains.remote_sensing.dataset import (
    acquired,
    band_facts,
    georeference,
    palette,
    require_pixels,
)
from longllava_domains.remote_sensing.gdal import open_dataset
from longllava_domains.remote_sensing.href import gdal_name, is_remote, recordable
from longllava_domains.remote_sensing.pixels import PixelSource
from longllava_domains.remote_sensing.raster import Look, Origin, Raster
from longllava_domains.remote_sensing.report import RasterReport
from longllava_domains.remote_sensing.stretch import Stretch, percentile_stretch, preset
from longllava_domains.remote_sensing.tiff_source import pixel_source

Bands = str | Sequence[int | str] | None


def open_raster(
    source: Any,
    *,
    bands: Bands = None,
    stretch: str | Stretch = "auto",
    crs: str | None = None,
    threads: int | None = None,
) -> Raster:
    """Open a satellite or aerial scene.

    Args:
        source: A path or link to anything GDAL opens.
        bands: Band numbers from 1, names or roles, one or three; or a sensor:
            ``"sentinel-2"``, ``"landsat-8-9"``, ``"worldview"``, ``"naip"``. None: the file says.
        stretch: ``"auto"`` (8-bit values as they are, else ``"percentile"``), ``"none"``,
            ``"percentile"``, a key of `stretch.PRESETS`, or the `Stretch` of another scene.
        crs: Overrides what the file says, such as ``"EPSG:32618"``.
        threads: Threads that decode blocks; by default the cores at hand, at most four.

    Raises:
        NotFoundError: Nothing there, or no bands, or nothing but nodata.
        UnsupportedInputError: No raster format, complex numbers, or an absurd size.
        DamagedInputError: A TIFF that cannot be opened or decoded.
        AmbiguousInputError: Nothing says which bands to show.
        GeoreferenceError: The CRS or geotransform cannot be read.
        PolicyError: Bands or a stretch that do not exist.
        NetworkError: A remote file cannot be reached.
    """
    name = gdal_name(os.fspath(source))
    dataset = open_dataset(name)
    require_pixels(dataset)
    choice = choose_bands(band_facts(dataset), bands)
    place, numbers = georeference(dataset, crs)
    pixels = pixel_source(dataset, choice.numbers, name, categorical=choice.how == "palette")
    look = make_look(pixels, dataset, choice, stretch)
    report = RasterReport("raster", {f"bands.{choice.how}": 1}, numbers)
    origin = Origin(
        hrefs=(recordable(name),),
        files=() if is_remote(name) or not os.path.isfile(name) else (name,),
        acquired=acquired(dataset),
    )
    return Raster(pixels, place, look, report, origin, threads or _cores())


def make_look(
    source: PixelSource, dataset: Any, choice: BandChoice, stretch: str | Stretch
) -> Look:
    """Decide how stored values are shown.

    Args:
        source: Where a sample of the scene can be read.
        dataset: The rasterio dataset that declares scale, offset and palette.
        choice: The bands shown.
        stretch: As for `open_raster`.
    """
    scales = tuple(float(dataset.scales[number - 1]) for number in choice.numbers)
    offsets = tuple(float(dataset.offsets[number - 1]) for number in choice.numbers)
    colours = palette(dataset, choice.numbers[0]) if choice.how == "palette" else None
    if colours is not None:
        return Look(Stretch("none"), scales, offsets, colours)
    if isinstance(stretch, Stretch):
        _require_channels(stretch, source)
        return Look(stretch, scales, offsets)
    if stretch == "auto":
        stretch = "none" if source.dtype == "uint8" else "percentile"
    if stretch == "none":
        _require_8_bit(source)
        return Look(Stretch("none"), scales, offsets)
    if stretch == "percentile":
        chosen = percentile_stretch(source.sample(), source.nodata, scales, offsets)
    else:
        chosen = preset(stretch, scales, offsets)
    return Look(chosen, scales, offsets)


def _require_8_bit(source: PixelSource) -> None:
    if source.dtype != "uint8":
        raise PolicyError(
            f"{source.dtype} values cannot be shown as they are.",
            remedy='Pass stretch="percentile", a preset or a Stretch.',
            code="raster.stretch",
        )


def _require_channels(stretch: Stretch, source: PixelSource) -> None:
    if stretch.name == "none":
        _require_8_bit(source)
    elif len(stretch.low) != source.channels:
        raise PolicyError(
            f"The stretch has {len(stretch.low)} channels; the scene shows {source.channels}.",
            remedy="Reuse a stretch with the same choice of bands.",
            code="raster.stretch",
            facts={"stretch": len(stretch.low), "scene": source.channels},
        )


def _cores() -> int:
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
