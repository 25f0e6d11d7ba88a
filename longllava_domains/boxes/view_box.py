"""Boxes of views, in pixels of the picture that the views show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from longllava_domains.boxes.geometry import Point, intersection, polygon_area

# From which share inside the whole a piece adds nothing. An edge can leave the corner of an object: a
# triangle, which fills half of the rectangle around it.
_INSIDE: Final = 0.45


class Frame(NamedTuple):
    """The window of a view: pixels of the picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def corners(self) -> tuple[Point, ...]:
        """Clockwise on screen from the top left."""
        right, bottom = self.left + self.width, self.top + self.height
        return ((self.left, self.top), (right, self.top), (right, bottom), (self.left, bottom))


@dataclass(frozen=True)
class ViewBox:
    """A box of one view.

    Attributes:
        corners: Clockwise on screen, pixels of the picture.
        frame: Of the view.
        score: Sorts equal boxes; None counts as 0.
    """

    corners: tuple[Point, ...]
    frame: Frame
    score: float | None = None

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least column and row, largest column and row."""
        columns, rows = zip(*self.corners, strict=True)
        return min(columns), min(rows), max(columns), max(rows)

    @cached_property
    def middle(self) -> Point:
        """Of the corners."""
        count = len(self.corners)
        return sum(x for x, _ in self.corners) / count, sum(y for _, y in self.corners) / count

    @cached_property
    def area(self) -> float:
        """Square pixels."""
        return abs(polygon_area(self.corners))

    @cached_property
    def short_px(self) -> float:
        """The shorter side."""
        first, second, third = self.corners[:3]
        return min(math.dist(first, second), math.dist(second, third))


def sticks_out(piece: ViewBox, whole: Sequence[Point]) -> bool:
    """Return whether most of a piece lies outside of what is already known of its object."""
    common = abs(polygon_area(intersection(piece.corners, whole)))
    return piece.area > 0 and common / piece.area < _INSIDE
