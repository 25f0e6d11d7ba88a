"""Box texts: rotated rectangles as language models write them.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.boxes.geometry import Box, Dialect
from longllava_domains.errors import AnswerError

FIT_RS_MIN_SIDE: Final = 2.0
"""Per cent; the official FIT-RS scorer drops boxes with a shorter side."""

QUANTUM: Final[Mapping[Dialect, float]] = MappingProxyType({"fit-rs": 0.01, "geochat": 1.0})
"""Per cent of a view's side: the least step that a dialect can spell."""

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
        "on_nodata": "a box with no pixel of data in it",
    }
)
"""Faults of a box text: code -> meaning."""

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


@checked
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


@checked
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
