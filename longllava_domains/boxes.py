"""Box texts: rotated rectangles as language models write them, and the geometry they mean.

Two dialects, chosen by the caller because a text does not say which it is in:

* ``"fit-rs"``: ``{<cx><cy><w><h>|<angle>}`` with two decimals (FIT-RS, arXiv 2406.10100);
* ``"geochat"``: ``{<xl><yt><xr><yb>|<angle>}`` with integers (GeoChat, arXiv 2311.15826): an
  upright rectangle that is then turned about its centre.

Coordinates are per cent of the view's sides, x to the right and y down. The angle is OpenCV's
``oc`` convention: degrees clockwise on screen from the x axis to the side ``w``, 0 < angle <= 90
(0 is read as well: writers cut the decimals off). So ``{<50.00><50.00><10.00><5.00>|<90>}`` is 5
wide and 10 tall.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from longllava_domains.errors import AnswerError

Dialect = Literal["fit-rs", "geochat"]
Point = tuple[float, float]

FIT_RS_MIN_SIDE: Final = 2.0
"""Per cent; the official FIT-RS scorer drops boxes with a shorter side."""

# FIT-RS labels an object when 0.55 of it lies in the chip, whose diagonal is 100 * sqrt(2).
_MAX_SIDE: Final = 100 * math.sqrt(2) / 0.55

PROBLEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "number_count": "braces that do not hold exactly five values",
        "not_a_number": "a value that is not a plain decimal number",
        "out_of_range": "a centre outside the view, an angle outside 0..90, or an absurd side",
        "too_small": "a side of zero, below the least side asked for, or with edges swapped",
        "unclosed": "a brace or <rbox> group that never closes",
        "no_braces": "a run of values in angle brackets without braces around it",
        "empty_group": "an <rbox> group without any braces in it",
        "outside_scene": "a centre in the padding of a view that reaches beyond its scene",
    }
)
"""What can be wrong with a box text: code -> meaning."""

# One pass over a text. Excluded characters keep every alternative linear on hostile input.
_TOKEN = re.compile(
    r"<ref>(?P<ref>[^<{}]*)</ref>"
    r"|<rel>(?P<rel>[^<{}]*)</rel>"
    r"|(?P<open><rbox>)|(?P<close></rbox>)"
    r"|\{(?P<body>[^{}]*)(?P<brace>\}?)"
    r"|(?P<bare>(?:<-?[0-9.]+>[\s|]*){3,})"
)
_VALUE = re.compile(r"<([^<>]*)>")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)\s*\Z")


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


@dataclass(frozen=True, slots=True)
class NamedBox:
    """A box, and the name that the text gave it in ``<ref>``, if any."""

    box: Box
    name: str | None = None


@dataclass(frozen=True)
class BoxText:
    """Everything a text says in box notation, and everything wrong with it.

    Attributes:
        boxes: The well-formed boxes, in order.
        relations: What stands in ``<rel>``, in order.
        problems: Code of `PROBLEMS` -> how often; empty when nothing is wrong.
    """

    boxes: tuple[NamedBox, ...]
    relations: tuple[str, ...]
    problems: Mapping[str, int]


def parse_boxes(
    text: str, *, dialect: Dialect = "fit-rs", min_side: float = 0.0, strict: bool = False
) -> BoxText:
    """Read every box of a text; nothing that looks like a box is left out without being counted.

    Args:
        text: What a model or a data set wrote.
        dialect: How the five values of a box are to be read.
        min_side: Per cent; a box with a shorter side counts as too small. Official FIT-RS
            scoring uses `FIT_RS_MIN_SIDE`.
        strict: Refuse a text with any problem.

    Raises:
        AnswerError: `strict`, and something is wrong.
    """
    boxes: list[NamedBox] = []
    relations: list[str] = []
    problems: Counter[str] = Counter()
    name: str | None = None
    group: int | None = None  # braces met since <rbox>, None outside a group
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "ref":
            name = token["ref"].strip() or None
        elif kind == "rel":
            relations.append(token["rel"].strip())
        elif kind == "open":
            problems["unclosed"] += group is not None
            group = 0
        elif kind == "close":
            problems["empty_group"] += group == 0
            name, group = None, None
        elif kind == "bare":
            problems["no_braces"] += 1
        else:
            group = None if group is None else group + 1
            found = "unclosed" if not token["brace"] else _read(token["body"], dialect, min_side)
            if isinstance(found, Box):
                boxes.append(NamedBox(found, name))
            else:
                problems[found] += 1
    problems["unclosed"] += group is not None
    counted = {code: count for code, count in sorted(problems.items()) if count}
    if strict and counted:
        raise AnswerError(
            f"The box text has problems: {', '.join(f'{c} {n}' for c, n in counted.items())}.",
            remedy="Read it with strict=False to get the boxes that are well formed.",
            code="boxes.malformed",
            facts=counted,
        )
    return BoxText(tuple(boxes), tuple(relations), MappingProxyType(counted))


def write_boxes(
    boxes: Iterable[Box], *, name: str | None = None, dialect: Dialect = "fit-rs"
) -> str:
    """Spell a group: ``<ref>name</ref><rbox>({..}, {..})</rbox>``, without ``<ref>`` if unnamed."""
    reference = "" if name is None else f"<ref>{name}</ref>"
    return f"{reference}<rbox>({', '.join(box.to_text(dialect) for box in boxes)})</rbox>"


def _read(body: str, dialect: Dialect, min_side: float) -> Box | str:
    """Return the box between two braces, or the code of what is wrong with it."""
    values = _VALUE.findall(body)
    if len(values) != 5:
        return "number_count"
    if not all(_NUMBER.match(value) for value in values):
        return "not_a_number"
    a, b, c, d, angle_deg = map(float, values)
    if dialect == "geochat":
        box = Box((a + c) / 2, (b + d) / 2, c - a, d - b, angle_deg)
    else:
        box = Box(a, b, c, d, angle_deg)
    if min(box.w, box.h) <= 0 or min(box.w, box.h) < min_side:
        return "too_small"
    inside = 0 <= box.cx <= 100 and 0 <= box.cy <= 100 and 0 <= angle_deg <= 90
    return box if inside and max(box.w, box.h) <= _MAX_SIDE else "out_of_range"


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
