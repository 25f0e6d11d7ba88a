"""The lengths in a JPEG 2000 codestream must lead exactly to its end (T.800 annex A).

A codestream that was cut and closed with an end marker looks complete to a decoder. Its tile-part
headers say how long each part is, and that cannot be cut without a trace.
"""

from typing import Final

_SOT, _EOC = b"\xff\x90", b"\xff\xd9"
_SOT_BYTES: Final = 12
_MAX_TILE_PARTS: Final = 1 << 16


def leads_to_end(data: bytes) -> bool:
    """Return whether the tile-parts of a codestream follow each other up to its end marker.

    Args:
        data: From the start marker on; padding may follow the end.
    """
    at = _first_tile_part(data)
    for _ in range(_MAX_TILE_PARTS):
        if data[at : at + 2] == _EOC:
            return True
        if data[at : at + 2] != _SOT or at + _SOT_BYTES > len(data):
            return False
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if length == 0:  # the last one may leave its length open; then only the end marker tells
            return data[-16:].rstrip(b"\0\xff").endswith((_EOC, _EOC[1:]))
        if length < _SOT_BYTES:
            return False
        at += length
    return False


def _first_tile_part(data: bytes) -> int:
    """Return where the main header ends; behind the data where it does not."""
    at = 2
    while data[at : at + 2] != _SOT:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 1] != b"\xff" or length < 2:
            return len(data)
        at += 2 + length
    return at
