"""`read_magic`: what kind of file this is, by its first bytes and a few tags, read once and safely.

It judges nothing: which domain the evidence speaks for is decided by whoever asks. A file that
cannot be read as what it begins like still has its kind; what reads it will refuse it.
"""

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

from longllava_domains.formats.dicom.fast_parser import parse
from longllava_domains.formats.dicom.pydicom_parser import read_elements, starts_a_dataset
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.formats.dicom.values import text
from longllava_domains.formats.regular_file import BadDocumentError, open_regular, parse_json
from longllava_domains.formats.tiff.first_tags import MAGICS, is_cut_short, read_first_tags
from longllava_domains.units import MIB

Kind = Literal[
    "dicom", "nifti", "gzip", "zip", "tiff", "json", "vrt", "xml", "jpeg", "png", "jpeg2000", "hdf5",
    "empty", "unknown",
]  # fmt: skip

_HEAD_BYTES: Final = 1024
_MAX_JSON_BYTES: Final = 8 * MIB
_SOP_CLASS: Final = 0x00080016
# TIFF tags that place an image on Earth: GeoTIFF 1.1 (OGC 19-008r4, section 7.1), and RPC.
_GEO_TAGS: Final = frozenset({33550, 33922, 34264, 34735, 50844})
_IMAGE_DESCRIPTION: Final = 270
_STARTS: Final[tuple[tuple[bytes, Kind], ...]] = (
    *((magic, "tiff") for magic in MAGICS),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\x00\x00\x00\x0cjP", "jpeg2000"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)


@dataclass(frozen=True)
class Magic:
    """Kind of file that the first bytes show.

    Attributes:
        kind: By its first bytes; a gzip file that holds NIfTI is ``"nifti"``.
        size: Bytes of the file.
        sop_class: DICOM: SOP class UID; empty where there is none or it cannot be read.
        georeferenced: TIFF: a tag places the image on Earth.
        description: TIFF: the start of its image description; may hold names, never for showing.
        cut_short: TIFF: its first directory is not whole within the file.
        keys: JSON: names at the top level of the object; empty for any other JSON.
    """

    kind: Kind
    size: int
    sop_class: str = ""
    georeferenced: bool = False
    description: str = field(default="", repr=False)
    keys: frozenset[str] = field(default=frozenset(), repr=False)
    cut_short: bool = False


def read_magic(path: str | Path) -> Magic:
    """Read what a file begins like; bounded in time and memory whatever the file holds.

    Raises:
        OSError: Nothing there, no right to read, or no regular file (a pipe would never end).
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(_HEAD_BYTES)
        kind = kind_of(head)
        if kind == "dicom":
            return Magic(kind, size, sop_class=_sop_class(path, stream, size))
        if kind == "tiff":
            tags = read_first_tags(stream)
            described = tags.get(_IMAGE_DESCRIPTION, b"").decode("latin-1").strip("\0")
            return Magic(
                kind,
                size,
                georeferenced=not _GEO_TAGS.isdisjoint(tags),
                description=described,
                cut_short=is_cut_short(stream),
            )
        if kind == "json":
            return Magic(kind, size, keys=_keys(stream))
        return Magic(kind, size)


def kind_of(head: bytes) -> Kind:
    """Return what bytes begin like: the first 1,024 or so of a file."""
    if not head:
        return "empty"
    for start, kind in _STARTS:
        if head.startswith(start):
            return "nifti" if kind == "gzip" and _is_nifti(_inflated(head)) else kind
    if head[128:132] == b"DICM" or starts_a_dataset(head):
        return "dicom"
    if _is_nifti(head):
        return "nifti"
    begun = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begun.startswith(b"<"):
        return "vrt" if begun.startswith(b"<VRTDataset") or b"<VRTDataset" in head else "xml"
    return "json" if begun[:1] in (b"{", b"[") else "unknown"


def _is_nifti(head: bytes) -> bool:
    """Return whether bytes begin as NIfTI-1, NIfTI-2 or the header of a pair."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def _sop_class(path: str | Path, stream: BinaryIO, size: int) -> str:
    stream.seek(0)
    wanted = frozenset({_SOP_CLASS})
    found = parse(stream, wanted)
    if found is None:
        file = SourceFile(1, "", size, lambda: open_regular(path))
        outcome = read_elements(file, wanted)
        if isinstance(outcome, str):
            return ""
        found = outcome
    return text(found.elements.get(_SOP_CLASS, b""))


def _keys(stream: BinaryIO) -> frozenset[str]:
    stream.seek(0)
    data = stream.read(_MAX_JSON_BYTES + 1)
    try:
        document = parse_json(data) if len(data) <= _MAX_JSON_BYTES else None
    except BadDocumentError:
        return frozenset()
    return frozenset(document) if isinstance(document, dict) else frozenset()
