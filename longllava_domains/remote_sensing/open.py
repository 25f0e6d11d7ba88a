"""`open_raster`: from a path, link, list or STAC document to a `Raster`."""

import os
from dataclasses import replace
from typing import Any

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.extras import require_extra
from longllava_domains.load_report import LoadReport
from longllava_domains.remote_sensing.io.opened_file import Bands, Opened, open_one
from longllava_domains.remote_sensing.io.pixel_source import PixelSource
from longllava_domains.remote_sensing.mosaic.mosaic import mosaic
from longllava_domains.remote_sensing.percentiles import Fitted, fit_stretch, look_for_nodata
from longllava_domains.remote_sensing.raster import Raster
from longllava_domains.remote_sensing.recognise import is_collection, member_names, require_apart
from longllava_domains.remote_sensing.scene import Rendering, SceneOrigin
from longllava_domains.remote_sensing.stac.item import is_stac, open_item
from longllava_domains.remote_sensing.stac.read import stac_items
from longllava_domains.remote_sensing.stretch import Stretch, preset


@checked
def open_raster(
    source: Any,
    *,
    bands: Bands = None,
    stretch: str | Stretch = "auto",
    nodata: float | None = None,
    crs: str | None = None,
    threads: int | None = None,
) -> Raster:
    """Open a satellite or aerial scene.

    Args:
        source: A path or link to anything GDAL opens (/vsicurl, s3:// and signed links are
            handed through); a folder or zip archive of GeoTIFFs beside each other; a STAC item, collection or item list, as a path, link, dictionary or
            pystac object; or a list of any of these, read as a mosaic.
        bands: Band numbers from 1, names or roles, one or three; or a sensor:
            ``"sentinel-2"``, ``"landsat-8-9"``, ``"worldview"``, ``"naip"``. None: the file says.
        stretch: ``"auto"`` (8-bit values as they are, else ``"percentile"``), ``"none"`` (as they
            are; on their full scale where a TIFF stores fewer bits or shows zero as white),
            ``"percentile"``, a key of `stretch.PRESETS`, or the `Stretch` of another scene.
        nodata: The stored value that is not data, in place of what the files declare.
        crs: Overrides what the file says, such as ``"EPSG:32618"``.
        threads: Threads that decode blocks; by default the cores at hand, at most four.

    Raises:
        NotFoundError: Nothing there, or no bands, or nothing but nodata.
        UnsupportedInputError: No raster format, complex numbers, or an absurd size.
        DamagedInputError: A TIFF that cannot be opened or decoded.
        AmbiguousInputError: Nothing says which bands to show, or a folder holds one place twice.
        GeoreferenceError: The CRS or geotransform cannot be read.
        PolicyError: Bands or a stretch that do not exist, or a nodata value that no pixel can hold.
        NetworkError: A remote file cannot be reached.
    """
    require_extra("remote-sensing")
    files = open_files(source, bands, crs, nodata)
    opened = files[0] if len(files) == 1 else mosaic(files)
    rendering, fitted = make_rendering(opened, stretch)
    report = LoadReport("raster" if len(files) == 1 else "mosaic", opened.codes, opened.numbers)
    report = report.with_(fitted.codes, fitted.numbers)
    origin = SceneOrigin(opened.hrefs, opened.files, opened.stac_id, opened.acquired)
    return Raster(opened.source, opened.place, rendering, report, origin, threads or cores())


def open_files(
    source: Any, bands: Bands, crs: str | None, nodata: float | None = None
) -> list[Opened]:
    """Open every file of a path, link, list or STAC document; what they hold is not yet joined.

    Raises:
        PolicyError: The source is none of these.
    """
    if is_stac(source):
        return [open_item(item, bands, nodata) for item in stac_items(source)]
    if isinstance(source, (str, os.PathLike)) and is_collection(source):
        opened = [open_one(name, bands, crs, nodata) for name in member_names(source)]
        require_apart(opened)
        return opened
    if isinstance(source, (str, os.PathLike)):
        return [open_one(source, bands, crs, nodata)]
    if not isinstance(source, (list, tuple)) or not source:
        raise PolicyError(
            "A raster is opened from a path, a link, a list of them, or a STAC item.",
            remedy="Pass one of these; a list must not be empty.",
            code="raster.source",
        )
    return [opened for entry in source for opened in open_files(entry, bands, crs, nodata)]


def make_rendering(opened: Opened, stretch: str | Stretch) -> tuple[Rendering, Fitted]:
    """Decide how stored values are shown.

    Args:
        opened: What declares scale, offset and palette, and can be sampled.
        stretch: As for `open_raster`.

    Returns:
        The rendering, and what the report says of its stretch.
    """
    fitted = _chosen_stretch(opened, stretch)
    return Rendering(fitted.stretch, opened.scales, opened.offsets, opened.palette), fitted


def _chosen_stretch(opened: Opened, stretch: str | Stretch) -> Fitted:
    source, scales, offsets = opened.source, opened.scales, opened.offsets
    if opened.palette is not None:
        return Fitted(Stretch("none"))
    if isinstance(stretch, Stretch):
        _require_channels(stretch, source)
        return Fitted(stretch)
    if stretch == "auto":
        stretch = "none" if source.dtype == "uint8" else "percentile"
    if stretch == "none":
        _require_8_bit(source)
        return replace(look_for_nodata(source), stretch=_as_they_are(opened))
    if stretch == "percentile":
        fitted = fit_stretch(source, scales, offsets)
    else:
        fitted = Fitted(preset(stretch, scales, offsets))
    if opened.full_scale is None or opened.full_scale[0] < opened.full_scale[1]:
        return fitted
    shown = fitted.stretch
    return replace(fitted, stretch=Stretch(shown.name, low=shown.high, high=shown.low))


def _as_they_are(opened: Opened) -> Stretch:
    """Return the stretch of 8-bit values: none, unless the file says what black and white are."""
    if opened.full_scale is None:
        return Stretch("none")
    black, white = (
        tuple(
            edge * scale + offset
            for scale, offset in zip(opened.scales, opened.offsets, strict=True)
        )
        for edge in opened.full_scale
    )
    return Stretch("full-scale", low=black, high=white)


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


def cores() -> int:
    """Return how many threads decode blocks: the cores at hand, at most four."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
