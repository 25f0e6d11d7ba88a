"""What a file's own bytes say about its kind. Never its name alone, and never its pixels."""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from longllava_domains.errors import NotFoundError

Kind = Literal["remote", "dicom", "nifti", "gzip", "zip", "tiff", "vrt", "stac", "unknown"]

_REMOTE: Final = ("http://", "https://", "s3://", "gs://", "/vsi")
_IMAGE_DESCRIPTION: Final = 270
_ENOUGH_FILES: Final = 64


@dataclass(frozen=True)
class Evidence:
    """What one file says of itself.

    Attributes:
        kind: The format, by its magic; ``"remote"`` for a link, which is not opened.
        sop_class: SOP class UID of a DICOM file, else empty.
        tiff_tags: Tag numbers of a TIFF's first directory.
        description: First 4,000 characters of a TIFF's ImageDescription.
    """

    kind: Kind
    sop_class: str = ""
    tiff_tags: frozenset[int] = frozenset()
    description: str = ""


def evidence_of(source: str | Path) -> Iterator[Evidence]:
    """Yield what a link, a file, or the first files of a folder say of themselves.

    Raises:
        NotFoundError: Nothing is there, or it cannot be read.
    """
    if str(source).startswith(_REMOTE):
        yield Evidence("remote")
        return
    path = Path(source)
    if not path.exists():
        raise NotFoundError("There is nothing at this path.", remedy="Check the path.")
    try:
        files = [path] if not path.is_dir() else _first_files(path)
        yield from map(_of_file, files)
    except OSError as error:
        # The exception's own text names the path.
        raise NotFoundError(
            f"The input cannot be read ({os.strerror(error.errno or 0)}).",
            remedy="Check that you may read it.",
            code="input.unreadable",
        ) from None


def _first_files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.rglob("*") if entry.is_file())[:_ENOUGH_FILES]


def _of_file(path: Path) -> Evidence:
    with path.open("rb") as file:
        head = file.read(352)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _of_tiff(path)
    if head[128:132] == b"DICM" or head[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x00\x00"):
        return _of_dicom(path)
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] == b"n+2\0":
        return Evidence("nifti")
    if head[:2] == b"\x1f\x8b":
        return Evidence("gzip")
    if head[:4] == b"PK\x03\x04":
        return Evidence("zip")
    if head.lstrip().startswith(b"<VRTDataset"):
        return Evidence("vrt")
    return _of_json(path) if head.lstrip()[:1] == b"{" else Evidence("unknown")


def _of_dicom(path: Path) -> Evidence:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True
        )
    except (InvalidDicomError, OSError, ValueError, struct.error):
        return Evidence("unknown")
    return Evidence("dicom", sop_class=str(header.get("SOPClassUID", "")))


def _of_tiff(path: Path) -> Evidence:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            description = str(tags.valueof(_IMAGE_DESCRIPTION, default=""))[:4000]
            return Evidence("tiff", tiff_tags=frozenset(tags.keys()), description=description)
    except (tifffile.TiffFileError, OSError, ValueError, struct.error, IndexError):
        return Evidence("unknown")


def _of_json(path: Path) -> Evidence:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return Evidence("unknown")
    is_stac = isinstance(document, dict) and "stac_version" in document
    return Evidence("stac" if is_stac else "unknown")
