"""Read the header of a compressed image: what it is, how large, how deep.

JPEG (T.81, T.87 for JPEG-LS) frame headers and JPEG 2000 (T.800) SIZ. Read before a decoder
sees the bytes, so that a damaged size cannot make it allocate without bound.
"""

from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg2000", "htj2k"]

_JPEG_FRAMES: Final[dict[int, Family]] = {
    0xC0: "jpeg",
    0xC1: "jpeg",
    0xC2: "jpeg",
    0xC3: "jpeg-lossless",
    0xF7: "jpeg-ls",
}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True)
class Codestream:
    """Header of a codestream.

    Attributes:
        family: Which decoder it needs.
        rows: Height.
        columns: Width.
        components: Samples per pixel.
        precision: Bits per sample.
        signed: JPEG 2000 samples are signed.
        start: Offset of the codestream in the bytes, behind JP2 boxes.
        complete: It ends with its end marker.
    """

    family: Family
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool
    start: int
    complete: bool


def parse_codestream(data: bytes) -> Codestream | None:
    """Read a codestream's header; None where it is none that can be decoded."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(b"\x00\x00\x00\x0cjP"):
            start = data.find(b"\xff\x4f\xff\x51")
            return _jpeg2000(data, start) if start > 0 else None
        if data.startswith(b"\xff\x4f\xff\x51"):
            return _jpeg2000(data, 0)
    except IndexError:
        return None
    return None


def _jpeg(data: bytes) -> Codestream | None:
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        length = _number(data, at + 2, 2)
        if marker in _JPEG_FRAMES:
            return Codestream(
                family=_JPEG_FRAMES[marker],
                rows=_number(data, at + 5, 2),
                columns=_number(data, at + 7, 2),
                components=data[at + 9],
                precision=data[at + 4],
                signed=False,
                start=0,
                complete=_ends(data),
            )
        if marker in (0xDA, 0xD9) or length < 2:
            return None
        at += 2 + length


def _jpeg2000(data: bytes, start: int) -> Codestream:
    at = start + 4
    capabilities = _number(data, at + 2, 2)
    width, height, left, top = (_number(data, at + 4 + 4 * i, 4) for i in range(4))
    depth = data[at + 38]
    return Codestream(
        # Part 15 streams set bit 14 of the capabilities.
        family="htj2k" if capabilities & 0x4000 else "jpeg2000",
        rows=height - top,
        columns=width - left,
        components=_number(data, at + 36, 2),
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        start=start,
        complete=_ends(data),
    )


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")


def _ends(data: bytes) -> bool:
    """Return whether the bytes end with EOI or EOC, at most some padding behind it.

    Frames are padded to even length: with a zero, or by some encoders with FF.
    """
    tail = data[-16:].rstrip(b"\0\xff")
    return tail.endswith(b"\xff\xd9")
