"""Sweeps of plain local TIFFs: blocks decoded side by side, painted straight into place."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.tiff.inflate import can_stream, stream_rows
from longllava_domains.formats.tiff.layout import (
    TiffLayout,
    decode_block,
    find_layout,
    undo_predictor,
)
from longllava_domains.remote_sensing.io.gdal_source import GdalSource
from longllava_domains.remote_sensing.io.pixel_source import Paint, Pixels, data_mask
from longllava_domains.remote_sensing.io.sampling import has_data, islands, sample_windows
from longllava_domains.units import MIB
from longllava_domains.visual.strips import Mask, PixelWindow, Strip, some_valid

# Beyond this a block is decoded as a stream of rows, or left to GDAL.
_GIANT_BLOCK_BYTES: Final = 64 * MIB
# Strips decoded by one task, so that one-row strips do not drown in calls.
_TASK_BYTES: Final = 2 * MIB
_BAND_ROWS: Final = 512
_TALL_BAND_BYTES: Final = 512 * MIB


class TiffSource(GdalSource):
    """A local GeoTIFF: windows through GDAL, sweeps through the file's own index.

    Args:
        dataset: An open rasterio dataset.
        numbers: Band numbers shown, from 1.
        href: The local path.
        layout: What `find_layout` returned.
        nodata: The user's word on what is not data.
    """

    def __init__(
        self,
        dataset: Any,
        numbers: tuple[int, ...],
        href: str,
        layout: TiffLayout,
        nodata: float | None = None,
    ) -> None:
        super().__init__(dataset, numbers, href, nodata=nodata)
        self.layout = layout

    def sweep(self, paint: Paint, threads: int) -> Iterator[Strip]:
        """Paint all rows, top to bottom, each block decoded once by one of `threads` threads."""
        self._require_open()
        if self.layout.block_bytes > _GIANT_BLOCK_BYTES:
            for top, values in stream_rows(self.layout):
                pixels = self.shown(values)
                rgb = np.empty((*values.shape[:2], 3), np.uint8)
                paint(pixels, rgb)
                yield Strip(top, rgb, pixels.valid)
            return
        descriptor = os.open(self.layout.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            yield from self._bands(descriptor, paint, threads)
        finally:
            os.close(descriptor)

    def sample(self) -> list[Pixels]:
        """Return pieces of the whole scene; one giant strip is streamed past them, not held."""
        if self.layout.block_bytes <= _GIANT_BLOCK_BYTES:
            return super().sample()
        rows = windows_of_rows(stream_rows(self.layout), sample_windows(self.width, self.height))
        pieces = [self.shown(values) for values in rows]
        return pieces if any(map(has_data, pieces)) else islands(self)

    def shown(self, values: NDArray[Any]) -> Pixels:
        """Pick the shown bands of (rows, columns, all bands), and what is data in them."""
        index = [number - 1 for number in self.numbers]
        first, count = index[0], len(index)
        if index == list(range(first, first + count)):
            picked = values[..., first : first + count]  # a view
        else:
            picked = values[..., index]
        valid = data_mask(picked, self.nodata)
        if self.alpha:
            opaque = values[..., self.alpha - 1] > 0
            valid = opaque if valid is None else valid & opaque
        return Pixels(picked, some_valid(valid))

    def _bands(self, descriptor: int, paint: Paint, threads: int) -> Iterator[Strip]:
        """Decode one band ahead of the one handed out."""
        layout = self.layout
        per_band = max(1, _BAND_ROWS // layout.block_rows)
        bands = [
            (down, min(down + per_band, layout.down)) for down in range(0, layout.down, per_band)
        ]
        if threads == 1:
            for first, last in bands:
                yield self._finish(self._start(descriptor, paint, (first, last), _call), paint)
            return
        with ThreadPoolExecutor(threads, "decode") as pool:
            pending: deque[_Band] = deque()
            try:
                for band in bands:
                    pending.append(self._start(descriptor, paint, band, pool.submit))
                    if len(pending) > 1:
                        yield self._finish(pending.popleft(), paint)
                while pending:
                    yield self._finish(pending.popleft(), paint)
            finally:
                pool.shutdown(cancel_futures=True)

    def _start(
        self, descriptor: int, paint: Paint, band: tuple[int, int], submit: Callable[..., Any]
    ) -> "_Band":
        """Begin decoding rows of blocks first to last; blocks paint into the band as they come."""
        layout = self.layout
        first, last = band
        top = first * layout.block_rows
        bottom = min(last * layout.block_rows, self.height)
        rgb = np.empty((bottom - top, self.width, 3), np.uint8)
        masked = bool(self.alpha) or any(value is not None for value in self.nodata)
        masked = masked or self.dtype.kind == "f"
        valid = np.ones(rgb.shape[:2], np.bool_) if masked else None
        stack = 1 if layout.tiled else max(1, _TASK_BYTES // layout.block_bytes)
        tasks = []
        for down in range(first, last, stack):
            for across in range(layout.across):
                cell = _Cell(layout, down, min(down + stack, last), across)
                rows = slice(cell.top - top, cell.top - top + cell.rows)
                columns = slice(cell.left, cell.left + cell.columns)
                part = None if valid is None else valid[rows, columns]
                tasks.append(submit(self._cell, descriptor, cell, paint, rgb[rows, columns], part))
        return _Band(top, rgb, valid, tasks)

    def _cell(
        self,
        descriptor: int,
        cell: "_Cell",
        paint: Paint,
        out: NDArray[np.uint8],
        valid: Mask | None,
    ) -> None:
        values = cell.decode(descriptor, self.declared_nodata[0])
        pixels = self.shown(values[: cell.rows, : cell.columns])
        paint(pixels, out)
        if pixels.valid is not None and valid is not None:
            valid[...] = pixels.valid

    def _finish(self, band: "_Band", paint: Paint) -> Strip:
        try:
            for task in band.tasks:
                task.result()
        except DamagedInputError:
            # A second opinion: libtiff knows dialects that the codecs do not. If it agrees that
            # the block is damaged, `read` says so.
            pixels = self.read(PixelWindow(0, band.top, self.width, len(band.rgb)))
            paint(pixels, band.rgb)
            return Strip(band.top, band.rgb, pixels.valid)
        return Strip(band.top, band.rgb, some_valid(band.valid))


class _Band:
    """Rows being painted, and the tasks that paint them."""

    def __init__(
        self, top: int, rgb: NDArray[np.uint8], valid: Mask | None, tasks: list[Any]
    ) -> None:
        self.top = top
        self.rgb = rgb
        self.valid = valid
        self.tasks = tasks


class _Cell:
    """One tile, or several strips on top of each other: what one task decodes."""

    def __init__(self, layout: TiffLayout, first: int, last: int, across: int) -> None:
        self.layout = layout
        self.first, self.last, self.across = first, last, across
        self.top = first * layout.block_rows
        self.left = across * layout.block_columns
        self.rows = min(last * layout.block_rows, layout.height) - self.top
        self.columns = min(layout.block_columns, layout.width - self.left)

    def decode(self, descriptor: int, nodata: float | None) -> NDArray[Any]:
        """Return (rows, columns, bands) of whole blocks, in native byte order."""
        layout = self.layout
        planes = [self._plane(descriptor, plane, nodata) for plane in range(layout.planes)]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _plane(self, descriptor: int, plane: int, nodata: float | None) -> NDArray[Any]:
        layout = self.layout
        rows = sum(layout.rows_in_block(down) for down in range(self.first, self.last))
        values = np.empty((rows, layout.block_columns, layout.samples), layout.dtype)
        absent = []
        top = 0
        for down in range(self.first, self.last):
            block = (plane * layout.down + down) * layout.across + self.across
            part = slice(top, top + layout.rows_in_block(down))
            top = part.stop
            count = layout.counts[block]
            if count == 0:
                absent.append(part)
            else:
                data = os.pread(descriptor, count, layout.offsets[block])
                decode_block(layout, data, values[part].reshape(-1).view(np.uint8))
        plain = undo_predictor(layout, values)
        for part in absent:  # GDAL reads what a sparse file leaves out as nodata, or 0
            plain[part] = 0 if nodata is None else nodata
        return plain


class _Done:
    """The result of a task that ran at once."""

    def __init__(self, error: DamagedInputError | None) -> None:
        self.error = error

    def result(self) -> None:
        """Raise what the task raised."""
        if self.error is not None:
            raise self.error


def _call(task: Callable[..., None], *arguments: Any) -> _Done:
    try:
        task(*arguments)
    except DamagedInputError as error:
        return _Done(error)
    return _Done(None)


def windows_of_rows(
    rows: Iterator[tuple[int, NDArray[Any]]], windows: Sequence[PixelWindow]
) -> list[NDArray[Any]]:
    """Cut windows out of rows that pass by once, top to bottom; copies, so that no band is kept."""
    parts: dict[PixelWindow, list[NDArray[Any]]] = {window: [] for window in windows}
    for top, values in rows:
        for window, found in parts.items():
            first = max(window.row, top)
            last = min(window.row + window.height, top + len(values))
            if first < last:
                columns = slice(window.column, window.column + window.width)
                found.append(values[first - top : last - top, columns].copy())
    return [np.concatenate(found) for found in parts.values()]


def pixel_source(
    dataset: Any,
    numbers: tuple[int, ...],
    href: str,
    *,
    categorical: bool = False,
    nodata: float | None = None,
) -> GdalSource:
    """Return the quickest source that reads this dataset exactly as GDAL does."""
    plain = GdalSource(dataset, numbers, href, categorical=categorical, nodata=nodata)
    if categorical or plain.has_mask:
        return plain
    layout = find_layout(href, dataset)
    if layout is None or (layout.block_bytes > _GIANT_BLOCK_BYTES and not can_stream(layout)):
        return plain
    if layout.tiled and layout.block_rows * layout.width * 3 > _TALL_BAND_BYTES:
        return plain  # rows of tiles this tall are cheaper to hold in GDAL's cache than painted
    return TiffSource(dataset, numbers, href, layout, nodata)
