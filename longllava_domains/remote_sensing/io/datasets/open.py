"""The one door to rasters: what may be opened, and in which process."""

import os
from collections.abc import Mapping
from typing import Any, Final

from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NetworkError,
    NotFoundError,
    UnsupportedInputError,
)
from longllava_domains.formats.decoding.jail import CAN_JAIL
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.formats.tiff.first_tags import MAGICS
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.datasets.jailed import JailedDataset
from longllava_domains.remote_sensing.io.datasets.plain import is_plain
from longllava_domains.remote_sensing.io.gdal import gdal_errors, gdal_settings, open_here
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.vrt import holds_vrt, require_plain_vrt
from longllava_domains.units import short_hash

# Formats that hold pixels themselves. Left out are descriptions that name servers or other files
# (WMS, WMTS, WCS, GTI, MRF, STACIT ...), databases, and what no scene comes in.
_FORMATS: Final = (
    "GTiff", "JP2OpenJPEG", "PNG", "JPEG", "WEBP", "BMP", "GIF", "HFA", "NITF", "ENVI", "EHdr",
    "AAIGrid", "SRTMHGT", "DTED", "netCDF", "HDF5", "HDF5Image", "SENTINEL2", "SAFE", "DIMAP",
)  # fmt: skip


def open_dataset(name: str) -> Any:
    """Open a rasterio dataset: a plain TIFF in this process, all else in a child.

    Args:
        name: A path, link, or name of GDAL's.

    Returns:
        A `rasterio.DatasetReader`, or a `JailedDataset`, which answers as one.

    Raises:
        NotFoundError: No such local file.
        NetworkError: A remote file cannot be reached.
        DamagedInputError: A TIFF that GDAL cannot open, or a file on which it crashed or hung.
        UnsupportedInputError: No format that is read here, or a VRT that names more than files.
    """
    remote = is_remote(name)
    if not remote:
        _require_plain(name)
    # A VRT from a server could name files of this machine.
    formats = [*_FORMATS] if remote else [*_FORMATS, "VRT"]
    try:
        with gdal_settings(remote=remote), silenced():
            if not remote and is_plain(name):
                return open_here(name, ["GTiff"])
            if CAN_JAIL:
                return JailedDataset(name, formats, remote=remote)
            return open_here(name, formats)
    except LongLlavaError:
        raise
    except gdal_errors():
        raise _unopened(name) from None


def warp_dataset(dataset: Any, options: Mapping[str, Any], *, remote: bool) -> Any:
    """See an open dataset on another grid, in the process that has it open.

    Args:
        dataset: What `open_dataset` returned.
        options: Arguments of rasterio's WarpedVRT.
        remote: It was opened from a link.
    """
    from rasterio.vrt import WarpedVRT

    with gdal_settings(remote=remote), silenced():
        if isinstance(dataset, JailedDataset):
            return dataset.warp(options)
        return WarpedVRT(dataset, **options)


def _require_plain(name: str) -> None:
    """Refuse local pipes and devices, which may never end, and files that lead elsewhere."""
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
            return file.read(4) in MAGICS
    except OSError:
        return False
