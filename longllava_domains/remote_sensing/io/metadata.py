"""Metadata of one rasterio dataset: bands, palette, acquisition time."""

import re
from typing import Any

import numpy as np

from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.remote_sensing.io.bands import BandFacts
from longllava_domains.units import GIB
from longllava_domains.visual.strips import Rgb

_MAX_SIDE_PX = 2**24
# Rows are read in bands; one band of a scene this wide would not fit any laptop.
_ROWS_AT_ONCE = 512
_MAX_BAND_BYTES = 8 * GIB
_TIME = re.compile(r"(\d{4})[:\-](\d\d)[:\-](\d\d)[T ](\d\d:\d\d:\d\d)")


def require_pixels(dataset: Any) -> None:
    """Refuse datasets without bands and of absurd size.

    Raises:
        NotFoundError: The dataset has no bands (a container of subdatasets, or an empty VRT).
        UnsupportedInputError: A side longer than 16.7 million pixels, or 512 rows over 8 GiB.
    """
    if dataset.count == 0:
        raise NotFoundError(
            f"The raster has no bands, but {len(dataset.subdatasets)} subdatasets.",
            remedy="Name one subdataset, as gdalinfo lists them.",
            code="raster.no_bands",
            facts={"subdatasets": len(dataset.subdatasets)},
        )
    rows = min(dataset.height, _ROWS_AT_ONCE)
    band = (
        dataset.width * rows * max(3, *(np.dtype(_plain(name)).itemsize for name in dataset.dtypes))
    )
    if max(dataset.width, dataset.height) > _MAX_SIDE_PX or band > _MAX_BAND_BYTES:
        raise UnsupportedInputError(
            f"The raster claims {dataset.width} x {dataset.height} pixels.",
            remedy="No scene is that large: the header is damaged, or cut the raster first.",
            code="raster.absurd_size",
            facts={"width": dataset.width, "height": dataset.height},
        )


def _plain(name: str) -> str:
    return "complex64" if name.startswith("complex") else name


def band_facts(dataset: Any) -> BandFacts:
    """Return colours and names of the bands."""
    return BandFacts(
        colours=tuple(colour.name.lower() for colour in dataset.colorinterp),
        names=tuple(dataset.descriptions),
        palette=dataset.count >= 1 and dataset.colorinterp[0].name == "palette",
    )


def physical_units(dataset: Any, numbers: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Return scales and offsets of bands.

    Raises:
        DamagedInputError: A scale is zero, or one of them is no number.
    """
    scales = tuple(float(dataset.scales[number - 1]) for number in numbers)
    offsets = tuple(float(dataset.offsets[number - 1]) for number in numbers)
    if 0 in scales or not np.isfinite((*scales, *offsets)).all():
        raise DamagedInputError(
            "A band declares a scale of zero, or a scale or offset that is no number.",
            remedy="Unset it, for example with gdal_edit -unsetscale -unsetoffset.",
            code="raster.scale",
        )
    return scales, offsets


def full_scale(dataset: Any, number: int) -> tuple[float, float] | None:
    """Return the stored values of black and white where they are not 0 and the type's largest.

    TIFF stores fewer bits than a type has (NBITS), and white as 0 (PhotometricInterpretation 0);
    GDAL hands both on as they are.
    """
    bits = dataset.tags(number, ns="IMAGE_STRUCTURE").get("NBITS", "")
    white_is_zero = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    dtype = np.dtype(_plain(dataset.dtypes[number - 1]))
    if dtype.kind != "u" or not (white_is_zero or bits.isdecimal()):
        return None
    top = float(2 ** (int(bits) if bits.isdecimal() else 8 * dtype.itemsize) - 1)
    return (top, 0.0) if white_is_zero else (0.0, top)


def palette(dataset: Any, number: int) -> Rgb | None:
    """Return the colour table of a band as uint8 (entries, 3), or None."""
    try:
        table = dataset.colormap(number)
    except ValueError:  # rasterio's way to say there is none
        return None
    colours = np.zeros((max(table) + 1, 3), np.uint8)
    for entry, colour in table.items():
        colours[entry] = colour[:3]
    return colours


def acquired(dataset: Any) -> str | None:
    """Return when the scene was taken, ISO 8601, where the product's metadata say it.

    TIFF's own date is when the file was written, so it does not count.
    """
    entry = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "")
    found = _TIME.match(entry)
    return None if found is None else "{}-{}-{}T{}Z".format(*found.groups())
