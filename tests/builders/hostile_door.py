"""`Door`: one way in for bytes from a stranger; `damage`: what is done to them.

Bytes are damaged in the ways that have found something: flips, cuts, holes, repeats, zeros, extreme
numbers, pieces of the same file in another place, and an end put behind a cut. In JSON also the
values are: other types, extreme numbers, nothing, deep nests.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff",
    b"\0",
)
# Of the end of a code stream, a zip archive and a TIFF, this much tells where it ends.
_TAIL_BYTES = 2
# Damage here is likelier than elsewhere: most of a file is pixels.
_HEADER_BYTES = 512
ODD_VALUES = (
    None, True, False, 0, -1, 2**70, 1e400, float("nan"), "", "\0", "a" * 5000, "/etc/passwd", "..",
    [], {}, [None], [[[[1]]]], {"a": {"b": []}}, "NaN", "\ud800", -0.0, 1e-300,
)  # fmt: skip


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        data: The sound bytes that are damaged.
        target: The file they are written to.
        enter: Opens what lies there; raises our errors, or whatever else it meets.
        judge: Says of a result that was accepted what it is; by default ``"accepted"``.
    """

    data: bytes
    target: Path
    enter: Callable[[], Any]
    judge: Callable[[Any], str] = lambda _: "accepted"


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return damaged bytes; half of what is JSON is damaged in its values."""
    if data[:1] == b"{" and rng.random() < 0.5:
        return _odd_json(data, rng)
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not found:
            return b"\0"
        reach = min(len(found), _HEADER_BYTES) if rng.random() < 0.3 else len(found)
        at = int(rng.integers(reach))
        size = int(rng.integers(1, 33))
        kind = int(rng.integers(8))
        if kind <= 1:
            found[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del found[at : at + size if rng.random() < 0.7 else None]
        elif kind == 3:
            found[at : at + size] = bytes(size)
        elif kind == 4:
            extreme = EXTREMES[int(rng.integers(len(EXTREMES)))]
            found[at : at + len(extreme)] = extreme
        elif kind == 5:
            other = int(rng.integers(len(found)))
            found[at:at] = found[other : other + size]
        elif kind == 6:
            del found[at : max(at, len(found) - _TAIL_BYTES)]
        else:
            found[at : at + size] = rng.bytes(size)
    return bytes(found)


def _odd_json(data: bytes, rng: np.random.Generator) -> bytes:
    document = json.loads(data)
    for _ in range(int(rng.integers(1, 4))):
        places: list[tuple[Any, Any]] = []
        waiting = [document]
        while waiting:
            holder = waiting.pop()
            keys = range(len(holder)) if isinstance(holder, list) else list(holder)
            for key in keys:
                places.append((holder, key))
                if isinstance(holder[key], (dict, list)) and holder[key]:
                    waiting.append(holder[key])
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    return json.dumps(document).encode()
