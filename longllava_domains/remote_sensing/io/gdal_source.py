"""Pixels of one raster through rasterio: windows exactly, sweeps one row of blocks at a time."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from longllava_domains.errors import PolicyError, UnsupportedInputError
from longllava_domains.remote_sensing.io.gdal import CACHE_BYTES, gdal_settings, reading
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.pixel_source import (
    Paint,
    Pixels,
    PixelSource,
    data_mask,
    representable,
    sweep_windows,
)
from longllava_domains.remote_sensing.io.sampling import spread
from longllava_domains.units import MIB
from longllava_domains.visual.strips import Mask, PixelWindow, Strip, some_valid

# Rows read together where blocks are flat: enough to amortise a call, little to hold.
_BAND_BYTES = 16 * MIB
# GDAL's handles serve one thread at a time, and VRTs opened in one thread share those of their files.
_VRT_LOCK = threading.RLock()


class GdalSource:
    """One open rasterio dataset, its shown bands and everything that says "not data".

    Safe to read from several threads, one after the other.

    Args:
        dataset: An open rasterio dataset or WarpedVRT.
        numbers: Band numbers shown, from 1: one or three.
        href: What it was opened from, for error messages (hashed).
        categorical: Values are classes (a palette): decimation picks the most frequent one.
        nodata: The user's word on what is not data, in place of the file's.

    Raises:
        PolicyError: Values of this type are never the given nodata.
        UnsupportedInputError: The bands are complex, or have different types.
    """

    def __init__(
        self,
        dataset: Any,
        numbers: tuple[int, ...],
        href: str,
        *,
        categorical: bool = False,
        nodata: float | None = None,
    ) -> None:
        self.dataset = dataset
        self.numbers = numbers
        self.href = href
        self.categorical = categorical
        self.width, self.height = int(dataset.width), int(dataset.height)
        self.channels = len(numbers)
        self.dtype = _common_type([dataset.dtypes[number - 1] for number in numbers])
        self.declared_nodata = tuple(
            None if dataset.nodatavals[number - 1] is None else float(dataset.nodatavals[number - 1])
            for number in numbers
        )  # fmt: skip
        self.nodata = self.declared_nodata
        self.given_nodata = nodata
        if nodata is not None:
            _require_possible(nodata, self.dtype)
            self.nodata = (float(nodata),) * self.channels
        self.block_rows, self.block_columns = dataset.block_shapes[numbers[0] - 1]
        self.alpha, self.has_mask = _masks(dataset, numbers)
        self.beneath: PixelSource | None = None
        self._is_closed = False  # a dataset behind the jail would read on
        self._lock = _VRT_LOCK if dataset.driver == "VRT" else threading.RLock()

    def read(self, window: PixelWindow, out_size: tuple[int, int] | None = None) -> Pixels:
        """Read a window, averaged down to out_size (width, height) where one is given."""
        return self._read(window, out_size, threads=1)

    def _read(self, window: PixelWindow, out_size: tuple[int, int] | None, threads: int) -> Pixels:
        self._require_open()
        from rasterio.enums import Resampling
        from rasterio.windows import Window as RasterioWindow

        resampling = Resampling.mode if self.categorical else Resampling.average
        shape = {} if out_size is None else {"out_shape": (out_size[1], out_size[0])}
        options = {"window": RasterioWindow(*window), "resampling": resampling, **shape}
        indexes = list(self.numbers) + ([self.alpha] if self.alpha else [])
        remote = is_remote(self.href)
        with (
            self._lock,
            gdal_settings(threads, self._cache_bytes(), remote=remote),
            reading(self.href, window.row),
        ):
            bands = self._stored(indexes, {"out_dtype": self.dtype.name, **options})
            mask = self.dataset.read_masks(self.numbers[0], **options) if self.has_mask else None
        return self._pixels(bands, mask, averaged=out_size is not None)

    def _stored(self, indexes: list[int], options: dict[str, Any]) -> Any:
        """Read bands, one by one where their types differ: rasterio refuses those together."""
        if len({self.dataset.dtypes[number - 1] for number in indexes}) == 1:
            return self.dataset.read(indexes, **options)
        return np.stack([self.dataset.read(number, **options) for number in indexes])

    def _pixels(self, bands: Any, mask: Any, *, averaged: bool) -> Pixels:
        values = np.moveaxis(bands[: self.channels], 0, -1)
        valid = data_mask(values, self.nodata)
        # An averaged cell counts as data where at least half of it is; else any opacity does.
        # (Only 8-bit alpha has a known full scale: 16-bit files write 255 as well as 65535.)
        if self.alpha:
            threshold = 127 if averaged and bands.dtype == np.uint8 else 0
            valid = _and(valid, bands[self.channels] > threshold)
        if mask is not None:
            valid = _and(valid, mask >= (128 if averaged else 1))
        return Pixels(values, some_valid(valid))

    def sweep(self, paint: Paint, threads: int) -> Iterator[Strip]:
        """Paint all rows, top to bottom, each row of blocks read once."""
        rows = self.rows_per_band()
        return sweep_windows(self, rows, paint, lambda window: self._read(window, None, threads))

    def rows_per_band(self) -> int:
        """Return how many rows are read together: whole blocks, about 16 MiB where they are flat."""
        row_bytes = self.width * self.dtype.itemsize * self.channels
        if self.block_rows * row_bytes > 4 * _BAND_BYTES:
            return max(1, _BAND_BYTES // row_bytes)
        blocks = max(1, min(512, _BAND_BYTES // row_bytes) // self.block_rows)
        return int(self.block_rows * blocks)

    def overview_factor(self, factor: float) -> float:
        """Return the decimation of the coarsest overview not coarser than `factor`; 1 for none."""
        if self.given_nodata is not None and not self.categorical:
            return 1.0  # overviews have averaged it into the data
        self._require_open()
        with self._lock:
            levels = [set(self.dataset.overviews(number)) for number in self.numbers]
        usable = [level for level in set.intersection(*levels) if 1 < level <= factor]
        return float(max(usable, default=1))

    def sample(self) -> list[Pixels]:
        """Return pieces spread evenly over the whole scene."""
        return spread(self)

    def _require_open(self) -> None:
        if self._is_closed:
            raise PolicyError(
                "The raster is closed.",
                remedy="Open it again; views made before stay usable.",
                code="raster.closed",
            )

    def close(self) -> None:
        """Close the dataset, and the source beneath it if it is a view of another."""
        self._is_closed = True
        with self._lock:
            self.dataset.close()
        if self.beneath is not None:
            self.beneath.close()

    def _cache_bytes(self) -> int:
        """Hold one row of blocks of every band: less would decode blocks again for each band."""
        row = self.block_rows * self.width * self.dtype.itemsize * self.dataset.count
        return int(max(CACHE_BYTES, row + 16 * MIB))


def _require_possible(nodata: float, dtype: np.dtype[Any]) -> None:
    if dtype.kind in "iu" and not representable(nodata, dtype):
        raise PolicyError(
            f"No {dtype} value is ever the nodata value that was given.",
            remedy="Pass a whole number that the type can hold.",
            code="raster.nodata",
        )


def _common_type(names: list[str]) -> np.dtype[Any]:
    if any("complex" in name for name in names):
        raise UnsupportedInputError(
            "The raster holds complex numbers, which have no brightness to show.",
            remedy="Write amplitude or intensity first, for example with gdal_calc.",
            code="raster.complex",
        )
    types = {np.dtype(name) for name in names}
    if len(types) > 1:
        return np.result_type(*types)
    return types.pop()


def _masks(dataset: Any, numbers: tuple[int, ...]) -> tuple[int | None, bool]:
    """Return the number of the alpha band, and whether there is a mask band beside it."""
    from rasterio.enums import ColorInterp, MaskFlags

    alpha = next(
        (
            number
            for number, colour in enumerate(dataset.colorinterp, 1)
            if colour == ColorInterp.alpha and number not in numbers
        ),
        None,
    )
    flags = dataset.mask_flag_enums[numbers[0] - 1]
    has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    only_nodata = MaskFlags.nodata in flags or MaskFlags.all_valid in flags
    return alpha, has_mask or not (only_nodata or MaskFlags.alpha in flags)


def _and(first: Mask | None, second: Mask) -> Mask:
    return second if first is None else first & second
