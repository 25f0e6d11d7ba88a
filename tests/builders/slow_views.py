"""Views made the slow, readable way: one rasterio window per tile, one formula per pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window


def is_data(dataset: Any, numbers: tuple[int, ...], window: Window) -> NDArray[np.bool_]:
    """Return what the file calls data: alpha, mask band, nodata and NaN together."""
    bands = dataset.read(list(numbers), window=window)
    some = np.zeros(bands.shape[1:], np.bool_)
    for plane, number in zip(bands, numbers, strict=True):
        good = np.ones(plane.shape, np.bool_)
        nodata = dataset.nodatavals[number - 1]
        if nodata is not None:
            good &= plane != plane.dtype.type(nodata)
        if plane.dtype.kind == "f":
            good &= ~np.isnan(plane)
        some |= good
    names = [colour.name for colour in dataset.colorinterp]
    if "alpha" in names:
        some &= dataset.read(names.index("alpha") + 1, window=window) > 0
    flags = {flag.name for flag in dataset.mask_flag_enums[0]}
    if flags == {"per_dataset"}:
        some &= dataset.read_masks(1, window=window) > 0
    return some


def shown(
    path: Path, numbers: tuple[int, ...], stretch: Any, column: int, row: int, size: tuple[int, int],
    padding: tuple[int, int, int], fill: tuple[int, int, int],
) -> NDArray[np.uint8]:  # fmt: skip
    """Return what a view at raster (column, row) of (width, height) must show."""
    width, height = size
    out = np.empty((height, width, 3), np.uint8)
    out[...] = padding
    with rasterio.open(path) as dataset:
        left, right = max(0, column), min(dataset.width, column + width)
        top, bottom = max(0, row), min(dataset.height, row + height)
        window = Window(left, top, right - left, bottom - top)
        bands = dataset.read(list(numbers), window=window)
        planes = [
            plane_shown(dataset, plane, number, stretch, index)
            for index, (plane, number) in enumerate(zip(bands, numbers, strict=True))
        ]
        rgb = np.stack(planes * (3 if len(planes) == 1 else 1), axis=-1)
        rgb[~is_data(dataset, numbers, window)] = fill
    out[top - row : bottom - row, left - column : right - column] = rgb
    return out


def plane_shown(
    dataset: Any, plane: NDArray[Any], number: int, stretch: Any, index: int
) -> NDArray[np.uint8]:
    """Return one band as 0..255."""
    if stretch.name == "none":
        return plane
    low, high = stretch.low[index], stretch.high[index]
    physical = plane.astype(np.float64) * dataset.scales[number - 1] + dataset.offsets[number - 1]
    share = np.clip((physical - low) / (high - low), 0, 1)
    return np.rint(np.where(np.isnan(share), 0, share) * 255).astype(np.uint8)
