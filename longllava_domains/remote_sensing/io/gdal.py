"""The one door to rasterio: settings in force while GDAL works, and its errors renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    UnsupportedInputError,
)
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.vrt import holds_vrt, require_plain_vrt
from longllava_domains.units import MIB, short_hash

# Rows are read in block order, so the cache holds one row of blocks, not 5 % of the memory.
CACHE_BYTES: Final = 64 * MIB
# Formats that hold pixels themselves. Left out are descriptions that name servers or other files
# (WMS, WMTS, WCS, GTI, MRF, STACIT ...), databases, and what no scene comes in.
_FORMATS: Final = (
    "GTiff", "JP2OpenJPEG", "PNG", "JPEG", "WEBP", "BMP", "GIF", "HFA", "NITF", "ENVI", "EHdr",
    "AAIGrid", "SRTMHGT", "DTED", "netCDF", "HDF5", "HDF5Image", "SENTINEL2", "SAFE", "DIMAP",
)  # fmt: skip
# A local file may still hold links, in sidecars and metadata. GDAL's network file systems then find
# no file that is allowed, and everything else that speaks HTTP only a proxy that is not there.
_OFFLINE: Final = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/none",
    "GDAL_HTTP_PROXY": "http://127.0.0.1:1",
    "GDAL_HTTPS_PROXY": "http://127.0.0.1:1",
    "VRT_NUM_THREADS": "1",  # settings hold in this thread only
}
_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def gdal_settings(
    threads: int = 1, cache_bytes: int = CACHE_BYTES, *, remote: bool = False
) -> Iterator[None]:
    """Bound GDAL's block cache and say how it may use the network.

    Args:
        threads: Threads that decode blocks.
        cache_bytes: Size of the block cache.
        remote: The network may be used, because the user named a link. Look sidecars (.ovr, .msk, .aux.xml) up by name instead of listing the folder;
            hiding them altogether would lose masks without a word.
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


def open_dataset(name: str, **options: Any) -> Any:
    """Open a rasterio dataset.

    Raises:
        NotFoundError: No such local file.
        NetworkError: A remote file cannot be reached.
        DamagedInputError: A TIFF that GDAL cannot open.
        UnsupportedInputError: No format that is read here, or a VRT that names more than files.
    """
    from rasterio._path import _parse_path
    from rasterio.io import DatasetReader

    remote = is_remote(name)
    if not remote:
        _require_plain(name)
    # A VRT from a server could name files of this machine.
    formats = [*_FORMATS] if remote else [*_FORMATS, "VRT"]
    try:
        with gdal_settings(remote=remote), silenced():
            return DatasetReader(_parse_path(name), driver=formats, sharing=False, **options)
    except gdal_errors():
        raise _unopened(name) from None


def _require_plain(name: str) -> None:
    """Refuse local pipes and devices, which may never end, and files that lead elsewhere."""
    import os

    if os.path.exists(name) and not (os.path.isfile(name) or os.path.isdir(name)):
        raise _unopened(name)
    if holds_vrt(name):
        require_plain_vrt(name)
    for sidecar in (f"{name}.ovr", f"{name}.msk"):
        if os.path.isfile(sidecar) and not _looks_like_tiff(sidecar):
            raise UnsupportedInputError(
                f"Overviews or mask beside the raster {short_hash(name)} are no TIFF file.",
                remedy="Remove the .ovr or .msk file, or build it again with GDAL.",
                code="raster.sidecar",
            )


def _unopened(name: str) -> LongLlavaError:
    import os

    token = short_hash(name)
    if is_remote(name):
        return NetworkError(
            f"The remote raster {token} could not be opened.",
            remedy="Check the link, its permission and the network.",
            code="raster.unreachable",
        )
    if name.startswith("/vsi"):
        return NotFoundError(
            f"Nothing GDAL can open is at the virtual path {token}.",
            remedy="Check the archive and the name inside it.",
            code="raster.not_found",
        )
    if not os.path.isfile(name) and not os.path.isdir(name):
        return NotFoundError(
            f"There is no raster file {token}.",
            remedy="Check the path.",
            code="raster.not_found",
        )
    if _looks_like_tiff(name):
        return DamagedInputError(
            f"The TIFF file {token} cannot be opened.",
            remedy="It is truncated or damaged: fetch it again.",
            code="raster.damaged",
        )
    return UnsupportedInputError(
        f"The file {token} is in no raster format that GDAL reads here.",
        remedy="Pass a GeoTIFF, COG, VRT or STAC item; gdalinfo shows what GDAL makes of it.",
        code="raster.format",
    )


def _looks_like_tiff(name: str) -> bool:
    try:
        with open_regular(name) as file:
            return file.read(4) in _TIFF_MAGIC
    except OSError:
        return False
