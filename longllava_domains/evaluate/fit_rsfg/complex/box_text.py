"""Boxes as the official FIT-RSFG scorer reads them, which is not how `boxes.parse_boxes` does.

A box is ``{<cx><cy><w><h>|<angle>}``: per cent of the chip's sides, the angle in whole degrees.
The official scorer takes any number that Python's ``float`` takes, does not look at ranges, and
drops a box without exactly five values or with a side below 2 per cent, on both sides.
"""

import math
from typing import Final

from longllava_domains.evaluate.fit_rsfg.spans import between

OfficialBox = tuple[float, ...]
"""cx, cy, w, h in per cent, the angle in radians; another length for a box that is malformed."""

MIN_SIDE_PERCENT: Final = 2.0
UNREADABLE: Final[OfficialBox] = (0.0, 0.0, 0.0, 0.0, 0.0)
"""Stands for a box that holds something other than numbers; too small to be used."""


class RaggedGroupError(ValueError):
    """Boxes of one group have different lengths: the official scorer crashes here."""


def is_usable(box: OfficialBox) -> bool:
    """Return whether a box counts: five values and no side below 2 per cent.

    A side that is NaN counts, as it does officially: such a box never meets another, so it is a
    false positive.
    """
    return len(box) == 5 and not (box[2] < MIN_SIDE_PERCENT or box[3] < MIN_SIDE_PERCENT)


def read_values(text: str) -> OfficialBox:
    """Read the values in angle brackets of one line, the last as an angle in degrees."""
    closed = text.split(">")[:-1]
    try:
        values = [float(part.partition("<")[2]) for part in closed if "<" in part]
    except ValueError:
        return UNREADABLE
    return (*values[:-1], math.radians(values[-1])) if values else UNREADABLE


def read_boxes(text: str, *, least: int = 1) -> list[OfficialBox]:
    """Read the usable boxes in all braces of a text (task 1; task 4 without classes).

    Args:
        text: Any text.
        least: Characters that stand between two braces at least.
    """
    found = (read_values(inner) for inner in between(text, "{", "}", least=least))
    return [box for box in found if is_usable(box)]


def read_group(text: str) -> list[OfficialBox]:
    """Read every box of one ``<rbox>`` group, the malformed ones included.

    Raises:
        RaggedGroupError: The boxes have different lengths.
    """
    found = [read_values(f"<{inner}>") for inner in between(text, "{<", ">}")]
    if len({len(box) for box in found}) > 1:
        raise RaggedGroupError
    return found
