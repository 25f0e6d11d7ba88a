"""Proof that the data of a lossless JPEG ends where its last pixel does.

A decoder fills up what is missing of a JPEG and says nothing, so an image that was cut and closed
with an end marker looks complete. Here the header claims one row more, and known bytes stand
before the end marker: the decoder must find exactly those bytes when it begins the additional row.
T.81: C.2 (Huffman codes), F.1.2.3 (padding), H.1.2 (prediction), H.1.2.2 (differences).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_END: Final = b"\xff\xd9"
_SOF3, _DHT, _SOS, _DRI = 0xC3, 0xC4, 0xDA, 0xDD
# Frames of which one component has one scan: baseline, extended, lossless; no progressive ones.
_ONE_SCAN: Final = (0xC0, 0xC1, _SOF3)
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff])")
_ENDS: Final = re.compile(rb"(?:\xff+\xd9[\x00\xff]*)+\Z")
# Any bytes without 0xFF whose bits are well mixed.
_PROBE: Final = bytes.fromhex("5ac3911e6d0b7824b6d1483ce95207a6914cd3385ae21b6487")
_PROBE_BITS: Final = "".join(f"{byte:08b}" for byte in _PROBE)
_ENOUGH_PIXELS: Final = 12
_TELLING_PIXELS: Final = 4
_MAX_ROWS: Final = 65535

Codes = dict[str, int]  # Huffman code as its bits -> category of the difference


@dataclass(frozen=True)
class Probe:
    """A lossless JPEG with one row more, and what that row must hold.

    Attributes:
        data: What to decode.
        codes: The Huffman table of its only component.
        predictor: 1 to 7.
    """

    data: bytes
    codes: Codes
    predictor: int

    def found_in(self, image: NDArray[np.uint16] | NDArray[np.uint8]) -> bool:
        """Return whether the last row of the decoded image begins with the probe's bytes."""
        *_, above, last = image
        return any(self._agrees(above, last, bits) for bits in _after_padding())

    def _agrees(self, above: NDArray[np.generic], last: NDArray[np.generic], bits: str) -> bool:
        modulus = 1 << 8 * last.dtype.itemsize
        row = above[:_ENOUGH_PIXELS].astype(int).tolist()
        left = telling = 0
        differences = _differences(bits, self.codes)
        for column, found in enumerate(last[:_ENOUGH_PIXELS].astype(int).tolist()):
            difference = next(differences, 0)
            telling += difference != 0
            predicted = _predict(self.predictor, column, left, row)
            # Prediction is modulo 2**16 whatever the precision (T.81 H.1.2.1).
            left = (predicted + difference) % 65536
            if left % modulus != found:
                return False
        return telling >= _TELLING_PIXELS  # zeros also stand where nothing was decoded


def add_probe(data: bytes) -> Probe | None:
    """Return the JPEG with one row more and known bytes at its end.

    Args:
        data: A lossless JPEG of one component that ends with its end marker.

    Returns:
        None where the file is built in another way than these few: restart markers, several
        tables, a point transform, rows too short to hold the probe.
    """
    end = data.rfind(_END)
    tables: list[bytes] = []
    frame = at = 0
    at = 2
    while at + 4 <= end and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker == _DHT:
            tables.append(segment)
        elif marker == _SOF3:
            frame = at
        elif marker == _SOS:
            break
        elif marker == _DRI or length < 2:
            return None
        at += 2 + length
    rows = int.from_bytes(data[frame + 5 : frame + 7], "big")
    columns = int.from_bytes(data[frame + 7 : frame + 9], "big")
    plain = frame and len(tables) == 1 and len(segment) == 6 and segment[5] == 0
    large_enough = 0 < rows < _MAX_ROWS and columns >= _ENOUGH_PIXELS
    if not plain or not large_enough or not 1 <= segment[3] <= 7:
        return None
    codes = _huffman(tables[0])
    if codes is None:
        return None
    taller = data[: frame + 5] + (rows + 1).to_bytes(2, "big") + data[frame + 7 :]
    return Probe(before_end(taller) + _PROBE + _END, codes, segment[3])


def breaks_off(data: bytes) -> bool:
    """Return whether a marker stands inside the only scan of a JPEG of one component.

    Decoders stop there, fill up the rest of the image and say nothing. Only restart markers may stand in
    a scan, and those only where the header announces them (T.81 B.2.1, B.2.4.4).

    Args:
        data: A JPEG, with or without its end marker.
    """
    at, has_one_scan, restarts = 2, False, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        has_one_scan |= marker in _ONE_SCAN
        if marker == _DRI:
            restarts = any(data[at + 4 : at + 6])
        at += 2 + length
        if marker == _SOS:
            break
        if length < 2:
            return False
    if not has_one_scan:
        return False
    scan = _ENDS.sub(b"", data[at:])
    found = {match[1][0] for match in _MARKER.finditer(scan)}
    return bool(found - set(range(0xD0, 0xD8) if restarts else ()))


def before_end(data: bytes) -> bytes:
    """Return a JPEG without its end marker and the fill bytes in front of it."""
    return data[: data.rfind(_END)].rstrip(b"\xff")


def _huffman(segment: bytes) -> Codes | None:
    """Return the codes of the only table in a DHT segment (T.81 C.2), None for more than one."""
    counts, values = segment[1:17], segment[17:]
    if len(counts) != 16 or sum(counts) != len(values):
        return None
    codes: Codes = {}
    code = position = 0
    for length, count in enumerate(counts, 1):
        for value in values[position : position + count]:
            codes[f"{code:0{length}b}"] = value
            code += 1
        position += count
        code <<= 1
    return codes


def _after_padding() -> Iterator[str]:
    """Yield what the decoder may find behind the last pixel: up to 7 padding bits, then the probe."""
    yield _PROBE_BITS
    for count in range(1, 8):
        yield "1" * count + _PROBE_BITS
        yield "0" * count + _PROBE_BITS


def _differences(bits: str, codes: Codes) -> Iterator[int]:
    """Yield the differences that bits stand for, until they end.

    Where they are no code, libjpeg drops 17 bits and takes the difference as 0.
    """
    at = 0
    while at + 17 <= len(bits):
        length = next((n for n in range(1, 17) if bits[at : at + n] in codes), 17)
        category = codes.get(bits[at : at + length], 0)
        at += length
        if category == 16:
            yield 32768
            continue
        extra = bits[at : at + category]
        if len(extra) < category:
            return
        at += category
        value = int(extra, 2) if extra else 0
        # A first bit of 0 means a negative difference (T.81 F.1.2.1.1).
        yield value if not extra or extra[0] == "1" else value - (1 << category) + 1


def _predict(predictor: int, column: int, left: int, above: list[int]) -> int:
    """Return the prediction of a pixel (T.81 table H.1); the first column takes the one above."""
    if column == 0:
        return above[0]
    up, corner = above[column], above[column - 1]
    return {
        1: left,
        2: up,
        3: corner,
        4: left + up - corner,
        5: left + ((up - corner) >> 1),
        6: up + ((left - corner) >> 1),
        7: (left + up) >> 1,
    }[predictor]
