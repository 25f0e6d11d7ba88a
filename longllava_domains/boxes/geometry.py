"""Rotated rectangles and convex polygons: corners, areas, common parts, intersection over union.

Coordinates have y down, as on a screen. The angle of a box is OpenCV's ``oc`` convention:
degrees clockwise on screen from the x axis to the side ``w``, 0 < angle <= 90 (0 is read as
well: writers cut the decimals off).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from longllava_domains.errors import AnswerError

Dialect = Literal["fit-rs", "geochat"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rotated rectangle in per cent of the view's sides.

    Attributes:
        cx: Centre from the left.
        cy: Centre from the top.
        w: Side that lies along `angle_deg`.
        h: The other side.
        angle_deg: Clockwise on screen from the x axis to the side `w`, 0 to 90.
    """

    cx: float
    cy: float
    w: float
    h: float
    angle_deg: float

    @classmethod
    def upright(cls, cx: float, cy: float, width: float, height: float) -> "Box":
        """Return an upright rectangle: its angle is 90, so that `w` is its height.

        Args:
            cx: Centre from the left.
            cy: Centre from the top.
            width: From left to right.
            height: From top to bottom.
        """
        return cls(cx, cy, height, width, 90.0)

    def corners(self) -> tuple[Point, Point, Point, Point]:
        """Return the four corners, clockwise on screen, from the one at (-w/2, -h/2)."""
        cos, sin = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        ux, uy = self.w / 2 * cos, self.w / 2 * sin
        vx, vy = -self.h / 2 * sin, self.h / 2 * cos
        return (
            (self.cx - ux - vx, self.cy - uy - vy),
            (self.cx + ux - vx, self.cy + uy - vy),
            (self.cx + ux + vx, self.cy + uy + vy),
            (self.cx - ux + vx, self.cy - uy + vy),
        )

    def to_text(self, dialect: Dialect = "fit-rs") -> str:
        """Spell the box in braces; the angle is cut to whole degrees, as the data sets do."""
        if dialect == "fit-rs":
            sides = "".join(f"<{value:.2f}>" for value in (self.cx, self.cy, self.w, self.h))
        else:
            edges = (
                self.cx - self.w / 2,
                self.cy - self.h / 2,
                self.cx + self.w / 2,
                self.cy + self.h / 2,
            )
            sides = "".join(f"<{round(edge)}>" for edge in edges)
        return f"{{{sides}|<{int(self.angle_deg)}>}}"


def enclosing_box(points: Sequence[Point]) -> Box:
    """Return the smallest rotated rectangle around points, the inverse of `Box.corners`.

    Same rectangle as OpenCV's ``minAreaRect``, with 0 < angle <= 90. A smallest rectangle lies
    along an edge of the convex hull; every hull edge joins two of the points, so with the few
    corners met here trying all pairs is simplest.

    Args:
        points: Three or more points, not all on one line.

    Raises:
        AnswerError: There are not two different points.
    """
    best: tuple[float, Box] | None = None
    for i, (x0, y0) in enumerate(points):
        for x1, y1 in points[i + 1 :]:
            if (x0, y0) == (x1, y1):
                continue
            turn = math.atan2(y1 - y0, x1 - x0) % (math.pi / 2) or math.pi / 2
            cos, sin = math.cos(turn), math.sin(turn)
            along = [x * cos + y * sin for x, y in points]
            across = [y * cos - x * sin for x, y in points]
            w, h = max(along) - min(along), max(across) - min(across)
            if best is None or w * h < best[0]:
                u, v = (max(along) + min(along)) / 2, (max(across) + min(across)) / 2
                box = Box(u * cos - v * sin, u * sin + v * cos, w, h, math.degrees(turn))
                best = (w * h, box)
    if best is None:
        raise AnswerError(
            f"A box cannot be laid around {len(points)} points in one place.",
            remedy="Give three corners or more.",
            code="boxes.points",
        )
    return best[1]


def polygon_area(points: Sequence[Point]) -> float:
    """Return the signed area: positive when the points run clockwise on screen (y down)."""
    if len(points) < 3:
        return 0.0
    x0, y0 = points[0]  # relative to a corner: map coordinates are large, areas small
    following = (*points[1:], points[0])
    return 0.5 * sum(
        (ax - x0) * (by - y0) - (bx - x0) * (ay - y0)
        for (ax, ay), (bx, by) in zip(points, following, strict=True)
    )


def clip_half_plane(points: Sequence[Point], a: float, b: float, c: float) -> list[Point]:
    """Return the part of a polygon where a x + b y + c >= 0 (Sutherland and Hodgman, 1974)."""
    kept: list[Point] = []
    for i, (x1, y1) in enumerate(points):
        x0, y0 = points[i - 1]
        side0, side1 = a * x0 + b * y0 + c, a * x1 + b * y1 + c
        if (side0 < 0) != (side1 < 0):
            share = side0 / (side0 - side1)
            kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
        if side1 >= 0:
            kept.append((x1, y1))
    return kept


def intersection(first: Sequence[Point], second: Sequence[Point]) -> list[Point]:
    """Return the polygon common to two convex polygons; empty where they do not meet."""
    turn = 1.0 if polygon_area(second) >= 0 else -1.0
    common = list(first)
    for i, (x1, y1) in enumerate(second):
        x0, y0 = second[i - 1]
        a, b = -turn * (y1 - y0), turn * (x1 - x0)
        common = clip_half_plane(common, a, b, -(a * x0 + b * y0))
    return common


def polygon_iou(first: Sequence[Point], second: Sequence[Point]) -> float:
    """Return intersection over union of two convex polygons, 0 to 1; 0 where one has no area."""
    first, second = sorted((tuple(first), tuple(second)))  # symmetric to the last bit
    common = abs(polygon_area(intersection(first, second)))
    union = abs(polygon_area(first)) + abs(polygon_area(second)) - common
    return min(1.0, common / union) if union > 0 else 0.0


def box_iou(first: Box, second: Box) -> float:
    """Return the exact intersection over union of two rotated rectangles, 0 to 1."""
    return polygon_iou(first.corners(), second.corners())
