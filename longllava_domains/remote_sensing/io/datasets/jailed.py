"""`JailedDataset`: stands for a rasterio dataset that a child process has open."""

import atexit
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.decoding.document import ask_document
from longllava_domains.formats.decoding.jail import Jail
from longllava_domains.formats.decoding.job import MAX_PIXELS, DecodingJob
from longllava_domains.formats.regular_file import open_regular, stamp_of
from longllava_domains.remote_sensing.io.datasets.description import Description
from longllava_domains.units import GIB, MIB

_WORKER: Final = "longllava_domains.remote_sensing.io.datasets.worker"
_CPU_SECONDS: Final = 30.0
# A server may be asked three times, and each time may take a minute.
_SERVER_SECONDS: Final = 600.0
_LIMIT_BYTES: Final = GIB
# OpenJPEG holds a tile in 32-bit samples, twice; some files are one tile.
_BYTES_PER_PIXEL: Final = 16
# Of a read that is not shrunk, in one piece.
_PIECE_PIXELS: Final = 16 * MIB
# What a file on this machine needs to know of the settings in force; the others may hold a token.
_LOCAL_SETTINGS: Final = frozenset(
    {
        "CPL_VSIL_CURL_ALLOWED_FILENAME", "GDAL_CACHEMAX", "GDAL_DISABLE_READDIR_ON_OPEN",
        "GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY", "GDAL_NUM_THREADS", "VRT_NUM_THREADS", "VSI_CACHE",
    }
)  # fmt: skip
# Links are opened with the user's own tokens, files on this machine without any.
_JAILS: Final = {
    remote: Jail(_CPU_SECONDS, _WORKER, environment=remote) for remote in (False, True)
}
for _jail in _JAILS.values():
    atexit.register(_jail.close)


class JailedDataset(Description):
    """A raster that GDAL has open in a child process.

    It answers as a rasterio dataset does, as far as this package asks. Call it inside
    `gdal_settings`, which go to the child.

    Args:
        name: What GDAL opens.
        formats: The drivers that may.
        remote: The name is a link.
        warped: Arguments of a WarpedVRT over it, or None for the file itself.

    Raises:
        OSError: GDAL cannot open it.
        DamagedInputError: It crashed, hung, or filled its memory; or the file has changed.
    """

    def __init__(
        self,
        name: str,
        formats: Sequence[str],
        *,
        remote: bool,
        warped: Mapping[str, Any] | None = None,
    ) -> None:
        self.remote = remote
        self._formats = tuple(formats)
        self._request: dict[str, Any] = {
            "name": os.path.abspath(name) if os.path.exists(name) else name,
            "stamp": _stamp(name),
            "formats": list(formats),
            "warped": warped,
        }
        try:
            super().__init__(self._described())
        except (LookupError, TypeError, ValueError):  # the child no longer does what we wrote
            raise OSError("the description of a raster is none") from None

    def __enter__(self) -> "JailedDataset":
        """Return the dataset."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the child closes what has not been used for long."""

    def close(self) -> None:
        """Do nothing: the child closes what has not been used for long."""

    def warp(self, options: Mapping[str, Any]) -> "JailedDataset":
        """Return the dataset on another grid.

        Args:
            options: Arguments of rasterio's WarpedVRT.
        """
        plain = dict(options, resampling=options["resampling"].name)
        if "transform" in plain:
            plain["transform"] = tuple(plain["transform"])[:6]
        name = str(self._request["name"])
        return JailedDataset(name, self._formats, remote=self.remote, warped=plain)

    def read(
        self,
        indexes: int | Sequence[int],
        *,
        window: Any,
        resampling: Any,
        out_dtype: str,
        out_shape: tuple[int, int] | None = None,
    ) -> NDArray[Any]:
        """Read bands; see rasterio's `DatasetReader.read`."""
        bands = [indexes] if isinstance(indexes, int) else list(indexes)
        pieces = [
            self._read(bands, part, resampling, out_shape, np.dtype(out_dtype), masks=False)
            for part in _parts(window, out_shape, len(bands))
        ]
        found = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
        return found[0] if isinstance(indexes, int) else found

    def read_masks(
        self,
        index: int,
        *,
        window: Any,
        resampling: Any,
        out_shape: tuple[int, int] | None = None,
    ) -> NDArray[np.uint8]:
        """Read the mask of one band; see rasterio's `DatasetReader.read_masks`."""
        pieces = [
            self._read([index], part, resampling, out_shape, np.dtype(np.uint8), masks=True)
            for part in _parts(window, out_shape, 1)
        ]
        found: NDArray[np.uint8] = np.concatenate(pieces, axis=1)[0]
        return found

    def _read(
        self,
        bands: list[int],
        window: tuple[int, int, int, int],
        resampling: Any,
        out_shape: tuple[int, int] | None,
        dtype: np.dtype[Any],
        *,
        masks: bool,
    ) -> NDArray[Any]:
        rows_columns = out_shape or (window[3], window[2])
        shape = (len(bands), *map(int, rows_columns))
        request = {
            "bands": bands,
            "window": [int(value) for value in window],
            "resampling": resampling.name,
            "out_shape": shape,
            "dtype": dtype.name,
            "masks": masks,
        }
        # Bands often lie side by side, and are decoded together.
        decoded = window[2] * window[3] * self.count
        claimed = min(self.width * self.height * self.count, MAX_PIXELS)
        memory = (
            _LIMIT_BYTES + _BYTES_PER_PIXEL * claimed + 4 * int(np.prod(shape)) * dtype.itemsize
        )
        job = self._job("read", request, shape, dtype, decoded, memory)
        with _gdal_says_no():
            return _JAILS[self.remote].run(job)[0]

    def _described(self) -> dict[str, Any]:
        memory = _LIMIT_BYTES + _BYTES_PER_PIXEL * MAX_PIXELS
        job = self._job("describe", {}, (0,), np.dtype(np.uint8), 0, memory)
        with _gdal_says_no():
            said = ask_document(_JAILS[self.remote], job)
        self.warnings = int(said["warnings"])
        return said

    def _job(
        self,
        task: str,
        request: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        decoded: int,
        memory_bytes: int,
    ) -> DecodingJob:
        from rasterio.env import getenv

        settings = {
            key: value
            for key, value in getenv().items()
            if isinstance(value, (bool, int, float, str))
            and (self.remote or key in _LOCAL_SETTINGS)
        }
        text = json.dumps({**self._request, **request, "settings": settings})
        return DecodingJob(
            task, b"", (text,), shape, dtype,
            decoded=decoded, memory_bytes=memory_bytes,
            wait_seconds=_SERVER_SECONDS if self.remote else 0.0,
        )  # fmt: skip


@contextmanager
def _gdal_says_no() -> Iterator[None]:
    """Rename what GDAL refused in the child as it is known here; the caller knows what was asked."""
    try:
        yield
    except DamagedInputError as error:
        if error.code == "decoding.failed":
            raise OSError("GDAL reported an error") from None
        raise


def _stamp(name: str) -> list[int] | None:
    """Return what tells whether a local file is still the one that was opened; None for others."""
    if not os.path.isfile(name):
        return None
    with open_regular(name) as file:
        return list(stamp_of(file))


def _parts(
    window: Any, out_shape: tuple[int, int] | None, bands: int
) -> Iterator[tuple[int, int, int, int]]:
    """Cut a window that is not shrunk into rows few enough for one answer."""
    left, top, width, height = (
        int(value) for value in (window.col_off, window.row_off, window.width, window.height)
    )
    rows = height if out_shape is not None else max(1, _PIECE_PIXELS // (width * bands))
    for row in range(top, top + height, rows):
        yield left, row, width, min(rows, top + height - row)
