"""Recognise rasters by what is in them, and list the rasters of a folder or an archive."""

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from longllava_domains.errors import AmbiguousInputError, LongLlavaError, NotFoundError
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.formats.zip_index import file_entries, is_zip_archive, open_zip
from longllava_domains.privacy import silenced
from longllava_domains.remote_sensing.io.datasets.open import open_dataset
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.opened_file import Opened
from longllava_domains.units import counted

_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Formats that no CT and no slide comes in.
_RASTER_HEADS: Final = (
    b"\0\0\0\x0cjP  ",  # JPEG 2000
    b"\xffO\xffQ",  # its bare code stream
    b"\x89PNG",
    b"CDF\x01", b"CDF\x02", b"CDF\x05",  # netCDF
    b"\x89HDF",  # HDF5, netCDF-4
    b"\x0e\x03\x13\x01",  # HDF4
    b"EHFA_HEADER_TAG",
    b"GRIB",
    b"NITF",
)  # fmt: skip
_VRT: Final = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<VRTDataset")
_NAME_OF_GDAL: Final = re.compile(
    r"^(?:/vsi\w+/|(?:vrt|zip|tar|gzip)://|[A-Za-z0-9_]{2,}:(?!//|\\))"
)
# In a folder or an archive only these are taken for the rasters; previews and documents are not.
_MEMBERS: Final = (".tif", ".tiff", ".jp2")
_LOOKED_AT: Final = 16
_MOST_MEMBERS: Final = 10_000


def is_raster(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a raster beyond doubt, by its content and never by its name alone.

    A TIFF counts where it is georeferenced: slides are TIFFs too. A folder or an archive counts where
    its first TIFFs and JPEG 2000 files do.

    Args:
        source: A path or link, or a name of GDAL's such as ``NETCDF:"sea.nc":sst``.
    """
    name = os.fspath(source)
    if is_remote(name) or (_NAME_OF_GDAL.match(name) and not os.path.exists(name)):
        return True
    try:
        if os.path.isdir(name) or is_zip_archive(name):
            members = member_names(name)[:_LOOKED_AT]
            return bool(members) and all(map(_is_georeferenced, members))
        with open_regular(name) as file:
            head = file.read(512)
    except (OSError, NotFoundError):
        return False
    if head[:4] in _TIFF:
        return _is_georeferenced(name)
    return head.startswith(_RASTER_HEADS) or _VRT.match(head) is not None


def is_collection(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a local folder or a zip archive, to be opened as what is in it."""
    name = os.fspath(source)
    return os.path.isdir(name) or (os.path.isfile(name) and is_zip_archive(name))


def member_names(source: str | os.PathLike[str]) -> list[str]:
    """Return the rasters of a folder or a zip archive, by name, as GDAL opens them.

    Raises:
        NotFoundError: There are none.
    """
    name = os.fspath(source)
    if os.path.isdir(name):
        kind, inside = "folder", sorted(str(p) for p in Path(name).rglob("*") if p.is_file())
        start = ""
    else:
        kind, inside = "archive", sorted(_archived(name))
        start = f"/vsizip/{{{os.path.abspath(name)}}}/"
    members = [start + member for member in inside if member.lower().endswith(_MEMBERS)]
    if not members:
        raise NotFoundError(
            f"The {kind} holds no GeoTIFF and no JPEG 2000 file; it holds "
            f"{counted(len(inside), 'other file') if inside else 'nothing'}.",
            remedy="Name a folder with rasters, or name the file itself: a PNG or JPEG is looked at "
            "alone.",
            code="raster.empty_folder",
        )
    return members[:_MOST_MEMBERS]


def require_apart(files: Sequence[Opened]) -> None:
    """Refuse the rasters of a folder where several show one place: bands, or dates, not a mosaic.

    Raises:
        AmbiguousInputError: Two have the same size and place.
    """
    seen = set()
    for file in files:
        corner = file.place.pixel_to_map(0, 0) if file.place.kind != "none" else None
        seen.add((file.source.width, file.source.height, corner, file.place.crs))
    if len(seen) < len(files):
        raise AmbiguousInputError(
            f"Of the {len(files)} rasters of the folder, several show the same place: they are bands "
            "or dates of one scene.",
            remedy="Name one of them, or a list in the order that is meant; for bands, a VRT or STAC "
            "item that says which is red, green and blue.",
            code="raster.same_place",
            facts={"files": len(files), "places": len(seen)},
        )


def _archived(name: str) -> list[str]:
    try:
        with open_zip(name) as archive:
            return [entry.filename for entry in file_entries(archive)]
    except OSError:
        return []


def _is_georeferenced(name: str) -> bool:
    if (
        find_spec("rasterio") is None
    ):  # nothing can be said; who names the domain is told what to install
        return False
    try:
        with silenced(), open_dataset(name) as dataset:
            placed = not dataset.transform.is_identity or dataset.crs is not None
            return bool(placed or dataset.gcps[0] or dataset.rpcs is not None)
    except LongLlavaError:
        return False
