"""Which domain is this input? Decided by evidence in the file, never by its name alone."""

import json
import os
import struct
from pathlib import Path
from typing import Literal

from longllava_domains.errors import (
    AmbiguousInputError,
    NotFoundError,
    UnsupportedInputError,
)

Domain = Literal["ct", "pathology", "remote_sensing"]

_WSI_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
# TIFF tags that place an image on Earth (GeoTIFF 1.1, OGC 19-008r4, section 7.1).
_GEO_TAGS = frozenset({33550, 33922, 34264, 34735})
_RPC_TAG = 50844
_IMAGE_DESCRIPTION = 270
_ENOUGH_FILES = 64


def decide_domain(path: str | Path, domain: str | None = None) -> Domain:
    """Return the domain of a file, folder or URL.

    Args:
        path: What the user named.
        domain: The user's word, which wins.

    Raises:
        NotFoundError: Nothing is there, or it cannot be read.
        AmbiguousInputError: The evidence does not decide; the remedy names ``--domain``.
        UnsupportedInputError: `domain` is not one of the three.
    """
    if domain is not None:
        return _named(domain)
    if str(path).startswith(("http://", "https://", "s3://", "/vsi", "gs://")):
        return "remote_sensing"
    place = Path(path)
    if not place.exists():
        raise NotFoundError("There is nothing at this path.", remedy="Check the path.")
    try:
        found = _of_folder(place) if place.is_dir() else _of_file(place)
    except OSError as error:
        # The exception's own text names the path.
        raise NotFoundError(
            f"The input cannot be read ({os.strerror(error.errno or 0)}).",
            remedy="Check that you may read it.",
            code="input.unreadable",
        ) from None
    if found is None:
        raise AmbiguousInputError(
            "Nothing in this input says whether it is a CT, a slide or a raster.",
            remedy="Name it: --domain ct, --domain pathology or --domain remote_sensing.",
            code="domain.undecided",
        )
    return found


def _named(domain: str) -> Domain:
    names: dict[str, Domain] = {
        "ct": "ct",
        "pathology": "pathology",
        "remote_sensing": "remote_sensing",
        "remote-sensing": "remote_sensing",
    }
    if domain not in names:
        raise UnsupportedInputError(
            "There is no such domain.",
            remedy="Use ct, pathology or remote_sensing.",
            code="domain.unknown",
        )
    return names[domain]


def _of_folder(folder: Path) -> Domain | None:
    files = sorted(entry for entry in folder.rglob("*") if entry.is_file())[:_ENOUGH_FILES]
    found = {domain for domain in map(_of_file, files) if domain is not None}
    return found.pop() if len(found) == 1 else None


def _of_file(path: Path) -> Domain | None:
    with path.open("rb") as file:
        head = file.read(352)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _of_tiff(path)
    if head[128:132] == b"DICM" or head[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x00\x00"):
        return _of_dicom(path)
    if head[:2] == b"\x1f\x8b" or head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] == b"n+2\0":
        return "ct"
    if head[:4] == b"PK\x03\x04":
        return "ct"
    if head.lstrip()[:1] == b"{":
        return _of_json(path)
    return "remote_sensing" if head.lstrip().startswith(b"<VRTDataset") else None


def _of_dicom(path: Path) -> Domain | None:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True
        )
    except (InvalidDicomError, OSError, ValueError, struct.error):
        return None
    return "pathology" if header.get("SOPClassUID") == _WSI_SOP_CLASS else "ct"


def _of_tiff(path: Path) -> Domain | None:
    """Tell a slide from a raster: GeoTIFF tags, GCPs or RPCs, or an Aperio or OME description."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            description = str(tags.valueof(_IMAGE_DESCRIPTION, default=""))[:4000]
            geo = any(code in tags for code in (*_GEO_TAGS, _RPC_TAG))
    except (tifffile.TiffFileError, OSError, ValueError, struct.error, IndexError):
        return None
    if description.startswith("Aperio") or "<OME" in description:
        return "pathology"
    return "remote_sensing" if geo else None


def _of_json(path: Path) -> Domain | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    return "remote_sensing" if isinstance(document, dict) and "stac_version" in document else None
