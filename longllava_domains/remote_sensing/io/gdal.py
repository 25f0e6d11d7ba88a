"""GDAL's settings while it works, and its errors renamed; files are opened by `datasets.open`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
)
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.units import MIB, short_hash

# Rows are read in block order, so the cache holds one row of blocks, not 5 % of the memory.
CACHE_BYTES: Final = 64 * MIB
# A local file may still hold links, in sidecars and metadata. GDAL's network file systems then find
# no file that is allowed, and everything else that speaks HTTP only a proxy that is not there.
_OFFLINE: Final = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/none",
    "GDAL_HTTP_PROXY": "http://127.0.0.1:1",
    "GDAL_HTTPS_PROXY": "http://127.0.0.1:1",
    "VRT_NUM_THREADS": "1",  # settings hold in this thread only
}


@contextmanager
def gdal_settings(
    threads: int = 1, cache_bytes: int = CACHE_BYTES, *, remote: bool = False
) -> Iterator[None]:
    """Bound GDAL's block cache and say how it may use the network.

    Args:
        threads: Threads that decode blocks.
        cache_bytes: Size of the block cache.
        remote: The network may be used, because the user named a link. Look sidecars (.ovr, .msk,
            .aux.xml) up by name instead of listing the folder; hiding them altogether would lose
            masks without a word.
    """
    import rasterio

    with rasterio.Env(
        **({} if remote else _OFFLINE),
        GDAL_CACHEMAX=cache_bytes,
        GDAL_NUM_THREADS=threads,
        GDAL_DISABLE_READDIR_ON_OPEN="TRUE" if remote else "FALSE",
        GDAL_INGESTED_BYTES_AT_OPEN=32768,
        GDAL_HTTP_TIMEOUT=60,
        GDAL_HTTP_CONNECTTIMEOUT=20,
        GDAL_HTTP_MAX_RETRY=2,
        VSI_CACHE=True,
    ):
        yield


def gdal_errors() -> tuple[type[BaseException], ...]:
    """Return the classes by which rasterio and GDAL say that reading failed."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError)


@contextmanager
def reading(href: str, row: int | None = None) -> Iterator[None]:
    """Rename whatever GDAL raises while pixels are read; its messages hold paths and links.

    Raises:
        DamagedInputError: A block is missing, truncated or cannot be decoded.
        NetworkError: The same, of a remote file.
    """
    try:
        with silenced():
            yield
    except LongLlavaError:
        raise
    except gdal_errors():
        where = "" if row is None else f" near row {row}"
        raise damaged(href, where, -1 if row is None else row) from None


def damaged(href: str, where: str, row: int) -> LongLlavaError:
    """Return the error for pixels that could not be read."""
    if is_remote(href):
        return NetworkError(
            f"Pixels{where} of the remote raster {short_hash(href)} could not be read.",
            remedy="Check the link and its permission, or download the file first.",
            code="raster.remote_read",
            facts={"row": row},
        )
    return DamagedInputError(
        f"Pixels{where} of the raster {short_hash(href)} cannot be decoded.",
        remedy="The file is truncated or damaged, or refers to a missing file: fetch it again.",
        code="raster.damaged",
        facts={"row": row},
    )


def open_here(name: str, formats: Sequence[str]) -> Any:
    """Open a rasterio dataset in this process, with the settings in force.

    Args:
        name: What GDAL opens.
        formats: The drivers that may.
    """
    from rasterio._path import _parse_path
    from rasterio.io import DatasetReader

    return DatasetReader(_parse_path(name), driver=[*formats], sharing=False)
