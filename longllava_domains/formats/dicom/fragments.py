"""Cut encapsulated pixel data into frames (PS3.5 annex A.4).

Offset tables may be absent, empty or wrong, and a frame may be spread over several fragments.
Frames are found from the fragments themselves; a table decides only where it must.
"""

from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import BinaryIO, Final

from longllava_domains.errors import DamagedInputError

_HEAD: Final = Struct("<HHL").unpack
_ITEM: Final = (0xFFFE, 0xE000)
_DELIMITER: Final = (0xFFFE, 0xE0DD)
_MAX_FRAGMENTS: Final = 1_000_000
# How the codestreams of every family start: JPEG and JPEG-LS, JPEG 2000, and JP2 boxes.
_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")
# Two segments of a 16-bit grey image, the first behind the header of 16 numbers.
_RLE_HEAD: Final = 64
_RLE_START: Final = b"\x02\x00\x00\x00\x40\x00\x00\x00"


@dataclass(frozen=True)
class Fragments:
    """Offsets of the fragments of one file's pixel data.

    Attributes:
        spans: (offset, length) of each fragment in the file, the offset table left out.
        table: Offsets of the basic offset table, empty where it is.
    """

    spans: tuple[tuple[int, int], ...]
    table: tuple[int, ...]


def read_fragments(stream: BinaryIO, start: int, end: int) -> Fragments:
    """Hop over the item headers of encapsulated pixel data.

    Args:
        stream: The file.
        start: Offset of the first item.
        end: The file's size.

    Raises:
        DamagedInputError: An item runs past the end, or something else stands where one should.
    """
    spans: list[tuple[int, int]] = []
    at = start
    closed = False
    while at + 8 <= end and len(spans) < _MAX_FRAGMENTS:
        stream.seek(at)
        group, element, length = _HEAD(stream.read(8))
        if (group, element) == _DELIMITER:
            closed = True
            break
        if (group, element) != _ITEM or at + 8 + length > end:
            raise _damaged("a fragment of the compressed pixel data is cut short or misplaced")
        spans.append((at + 8, length))
        at += 8 + length
    if not closed and at != end:
        raise _damaged("the compressed pixel data is cut short")
    if len(spans) < 2:
        raise _damaged("the compressed pixel data is empty")
    table = _table(stream, *spans[0])
    return Fragments(tuple(spans[1:]), table)


def _table(stream: BinaryIO, offset: int, length: int) -> tuple[int, ...]:
    if length % 4:
        raise _damaged("the offset table of the compressed pixel data has an odd length")
    stream.seek(offset)
    raw = stream.read(length)
    return tuple(int.from_bytes(raw[i : i + 4], "little") for i in range(0, length, 4))


def locate_frames(
    stream: BinaryIO, start: int, end: int, frames: int, *, rle: bool
) -> list[tuple[tuple[int, int], ...]]:
    """Return (offset, length) of the fragments of each frame.

    Args:
        stream: The file.
        start: Offset of the first item.
        end: The file's size.
        frames: Number of frames that the header gives.
        rle: The frames are run-length encoded, and so begin with a header of 64 bytes.

    Raises:
        DamagedInputError: The fragments are cut short, or cannot be told apart into that many
            frames.
    """
    fragments = read_fragments(stream, start, end)
    spans = fragments.spans
    if len(spans) == frames:
        return [(span,) for span in spans]
    if len(spans) < frames:
        raise _damaged(f"{len(spans)} fragments were found for {frames} frames")
    starts = [number for number, (at, _) in enumerate(spans) if _begins(stream, at, rle)]
    if len(starts) != frames and frames > 1:
        starts = _by_table(fragments)
    if len(starts) != frames or starts[0] != 0:
        raise _damaged(f"{len(spans)} fragments cannot be told apart into {frames} frames")
    return [spans[first:after] for first, after in pairwise([*starts, len(spans)])]


def _begins(stream: BinaryIO, at: int, rle: bool) -> bool:
    """Return whether a fragment begins a codestream, or a run-length header (PS3.5 G.5)."""
    stream.seek(at)
    if rle:
        head = stream.read(_RLE_HEAD)
        return head[:8] == _RLE_START and not any(head[12:])
    return stream.read(8).startswith(_STARTS)


def _by_table(fragments: Fragments) -> list[int]:
    """Return the first fragment of each frame by the basic offset table, empty where it lies."""
    base = fragments.spans[0][0] - 8
    index = {at - 8 - base: i for i, (at, _) in enumerate(fragments.spans)}
    if any(offset not in index for offset in fragments.table):
        return []
    return [index[offset] for offset in fragments.table]


def _damaged(found: str) -> DamagedInputError:
    return DamagedInputError(
        f"A slice cannot be decoded: {found}.",
        remedy="Copy or export the series again.",
        code="ct.damaged_pixels",
    )
