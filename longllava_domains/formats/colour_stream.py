"""Colours as a compressed tile declares them, read before a decoder sees the bytes.

The codestream wins over the label around it. JPEG: the Adobe marker, component ids R, G, B, then
JFIF (T.871 6.1: always YCbCr). JPEG 2000: the component transform byte of the COD marker (T.800
A.6.1): where it is set, decoding already undoes the transform.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from longllava_domains.formats.dicom.codestream import Codestream, parse_codestream

Colour = Literal["rgb", "ycbcr"]

_APP0, _APP14, _SOS, _EOI = 0xE0, 0xEE, 0xDA, 0xD9
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
# Inside entropy-coded data a 0xFF is stuffed, a restart marker or a fill byte (T.81 B.1.1.5); the
# scans of a progressive image bring tables and scan headers.
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff\xc4\xda\xdb\xdd]")


@dataclass(frozen=True)
class ColourStream:
    """A colour codestream's header.

    Attributes:
        stream: Family, size and depth.
        colour: What the samples are once decoded; None where only the label around it says so.
        transformed: JPEG 2000: the component transform was used, and decoding undoes it.
        scan: JPEG: offset of the entropy-coded data; 0 for other families.
    """

    stream: Codestream
    colour: Colour | None
    transformed: bool = False
    scan: int = 0


def parse_colour_stream(data: bytes) -> ColourStream | None:
    """Read a codestream's header; None where it is none that can be decoded.

    Tiles of one level share their JPEG header byte for byte, so it is parsed once.
    """
    scan = data.find(b"\xff\xda") if data.startswith(b"\xff\xd8") else -1
    if scan > 0:
        head = data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
        return _parse_shared(head) or _parse(data)  # the two bytes may also stand in a table
    return _parse(data)


@lru_cache(maxsize=64)
def _parse_shared(head: bytes) -> ColourStream | None:
    return _parse(head)


def _parse(data: bytes) -> ColourStream | None:
    stream = parse_codestream(data)
    if stream is None:
        return None
    try:
        if stream.family in ("jpeg2000", "htj2k"):
            transformed = _component_transform(data, stream.start)
            # Only chroma is stored coarser, and OpenJPEG converts it whenever it is.
            rgb = transformed or _has_coarse_chroma(data, stream.start)
            return ColourStream(stream, "rgb" if rgb else None, transformed)
        colour, scan = _jpeg_colour(data)
        return ColourStream(stream, colour if stream.family == "jpeg" else None, scan=scan)
    except IndexError:
        return None


def scan_end(data: bytes, scan: int) -> tuple[int | None, bool]:
    """Return where a JPEG's end marker stands, and whether only fitting bytes stand before it.

    Decoders skip markers that do not belong inside entropy-coded data without a word, and fill
    the rest of the tile in grey.

    Args:
        data: A whole JPEG.
        scan: Where its entropy-coded data begins.

    Returns:
        The offset, None without an end marker; and False where another marker comes first.
    """
    marker = _MARKER.search(data, scan)
    if marker is None:
        return None, True
    is_end = data[marker.start() + 1] == _EOI
    return (marker.start(), True) if is_end else (None, False)


def _jpeg_colour(data: bytes) -> tuple[Colour | None, int]:
    """Walk the markers up to the scan; return the colours and where the scan's data begins."""
    at = 2
    jfif = False
    adobe: int | None = None
    ids = b""
    while True:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        length = data[at + 2] << 8 | data[at + 3]
        body = data[at + 4 : at + 2 + length]
        if marker == _APP0 and body.startswith(b"JFIF"):
            jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in _FRAMES:
            ids = body[6::3]
        elif marker == _SOS:
            return _decide(adobe, ids, jfif), at + 2 + length
        at += 2 + max(length, 2)


def _decide(adobe: int | None, ids: bytes, jfif: bool) -> Colour | None:
    if adobe is not None:
        return "ycbcr" if adobe == 1 else "rgb"
    if ids == b"RGB":
        return "rgb"
    return "ycbcr" if jfif else None


def _has_coarse_chroma(data: bytes, start: int) -> bool:
    """Return whether the second component of a JPEG 2000 image has fewer samples (XRsiz, YRsiz)."""
    components = start + 42  # behind SOC and the fixed part of SIZ: depth, XRsiz, YRsiz of each
    return data[components + 4] != 1 or data[components + 5] != 1


def _component_transform(data: bytes, start: int) -> bool:
    """Return the multiple component transform byte of a JPEG 2000 main header."""
    at = start + 2
    while data[at] == 0xFF and data[at + 1] not in (0x90, 0xD9):
        if data[at + 1] == 0x52:
            return data[at + 8] == 1
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    raise IndexError
