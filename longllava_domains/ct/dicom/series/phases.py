"""Separate images that repeat positions: phases, acquisitions, energies, files.

Every mark is tried by itself, then together with others, and last the order in time. A split
counts only where each part has every place once and the parts truly overlap: table steps that
meet at one position are one scan.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from itertools import combinations
from typing import Final

import numpy as np

from longllava_domains.ct.dicom.elements import PHASE_MARKS
from longllava_domains.ct.dicom.header import SliceHeader

POSITION_TOLERANCE_MM: Final = 0.01
Part = tuple[list[SliceHeader], tuple[str, ...]]
_Read = Callable[[SliceHeader], Hashable]

# Phases of one scan cover nearly the same range.
_SAME_RANGE: Final = 1.5
# Phases have more of their range in common than table steps that overlap.
_IN_COMMON: Final = 0.5
_MOST_STEPS: Final = 64
_SEAM: Final = 0.25


def _mark(index: int) -> _Read:
    return lambda header: header.phase_marks[index] if header.phase_marks else ""


def _all_of(marks: tuple[tuple[str, _Read], ...]) -> _Read:
    return lambda header: tuple(read(header) for _, read in marks)


# Attributes that may tell apart images at one position, weakest assumption first.
_TOGETHER: Final[tuple[tuple[str, _Read], ...]] = (
    ("phase", lambda header: header.phase_marks),
    ("acquisition", lambda header: header.acquisition),
    ("energy", lambda header: header.kvp),
)
_ALONE: Final[tuple[tuple[str, _Read], ...]] = (
    *(("phase", _mark(index)) for index in range(len(PHASE_MARKS))),
    *_TOGETHER,
    ("time", lambda header: header.acquired_s),
    ("file", lambda header: header.file.position if header.frames > 1 else 0),
)


def separate(headers: list[SliceHeader]) -> list[Part]:
    """Split images that repeat positions, or take turns, by what tells them apart, if anything."""
    count = len(places(headers))
    if count == len(headers):
        return _separate_turns(headers)
    marks: list[tuple[tuple[str, _Read], ...]] = [(one,) for one in _ALONE]
    for size in range(2, len(_TOGETHER) + 1):
        marks += combinations(_TOGETHER, size)
    for chosen in marks:
        parts = _parts(headers, _all_of(chosen))
        if _explains(parts, count):
            return [(part, tuple(name for name, _ in chosen)) for part in parts]
    return _separate_by_time(headers, count) or [(headers, ())]


def places(headers: list[SliceHeader]) -> set[tuple[int, ...]]:
    """Return the positions of images, rounded; those without one are each a place of their own."""
    return {_place(header) or (number,) for number, header in enumerate(headers)}


def seam_of(headers: list[SliceHeader]) -> tuple[list[SliceHeader], ...]:
    """Return the table steps of one scan that have positions in common, or nothing.

    Each step has several slices and every place once, and neighbours meet in one or two.
    """
    repeated = len(headers) - len(places(headers))
    for read in (lambda header: header.acquisition, lambda header: header.image_type):
        parts = _parts(headers, read)
        if not 1 < len(parts) <= _MOST_STEPS or min(map(len, parts)) < 2:
            continue
        if repeated > 2 * (len(parts) - 1):
            continue
        once = all(len(places(part)) == len(part) for part in parts)
        if once and all(_in_common(a, b) < _SEAM for a, b in combinations(parts, 2)):
            return tuple(parts)
    return ()


def _place(header: SliceHeader) -> tuple[int, ...]:
    return tuple(round(x / POSITION_TOLERANCE_MM) for x in header.position_mm)


def _parts(headers: list[SliceHeader], read: _Read) -> list[list[SliceHeader]]:
    parts: dict[Hashable, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        parts[read(header)].append(header)
    return list(parts.values())


def _explains(parts: list[list[SliceHeader]], count: int) -> bool:
    """Return whether a split accounts for repeated positions: each part has every place once.

    A lone image with a number of its own is a stray copy, not a phase; and parts that only touch
    are the table steps of one scan, not phases of one place.
    """
    if len(parts) < 2 or min(map(len, parts)) < 2:
        return False
    longest = max(parts, key=len)
    return (
        all(len(places(part)) == len(part) for part in parts)
        and count <= _SAME_RANGE * len(longest)
        and all(_in_common(longest, part) > _IN_COMMON for part in parts if part is not longest)
    )


def _separate_turns(headers: list[SliceHeader]) -> list[Part]:
    """Split images of several phases, acquisitions or energies that take turns along one range.

    Table steps have values of their own, but their ranges lie one behind the other; and a value
    that one image has alone is no second scan.
    """
    for name, read in _TOGETHER:
        parts = _parts(headers, read)
        shared = all(_in_common(a, b) > _IN_COMMON for a, b in combinations(parts, 2))
        if len(parts) > 1 and min(map(len, parts)) > 1 and shared:
            return [(part, (name,)) for part in parts]
    return [(headers, ())]


def _separate_by_time(headers: list[SliceHeader], count: int) -> list[Part]:
    """Split by the order in time, where each pass over the places ends before the next begins."""
    reads: tuple[Callable[[SliceHeader], float | None], ...] = (
        lambda header: header.acquired_s,
        lambda header: header.trigger_ms,
    )
    for read in reads:
        timed = [(time, header) for header in headers if (time := read(header)) is not None]
        if len(timed) < len(headers):
            continue
        passes: list[list[SliceHeader]] = []
        seen: set[tuple[int, ...]] | None = None
        for _, header in sorted(timed, key=lambda pair: pair[0]):
            place = _place(header)
            if seen is None or place in seen:
                passes.append([])
                seen = set()
            passes[-1].append(header)
            seen.add(place)
        if len(passes) * count == len(headers) and _explains(passes, count):
            return [(part, ("time",)) for part in passes]
    return []


def _in_common(first: list[SliceHeader], second: list[SliceHeader]) -> float:
    """Return which share of the shorter range of positions the two have in common."""
    if any(len(header.position_mm) != 3 for header in (*first, *second)):
        return 0.0
    ranges = []
    for part in (first, second):
        positions = np.array([header.position_mm for header in part])
        along = np.ptp(positions, axis=0).argmax()
        ranges.append((positions[:, along].min(), positions[:, along].max(), along))
    (low, high, axis), (other_low, other_high, other_axis) = ranges
    shorter = min(high - low, other_high - other_low)
    if axis != other_axis or shorter == 0:
        return 0.0
    return float((min(high, other_high) - max(low, other_low)) / shorter)
