"""Things that a model boxed in fields of a slide, in level-0 pixels, each once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from longllava_domains.boxes import (
    QUANTUM,
    SCORE_KIND,
    Dialect,
    Frame,
    Point,
    ViewBox,
    answer_score,
    enclosing_box,
    merge_boxes,
    parse_boxes,
    sticks_out,
)
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlidePlace

Status = Literal["seen", "skipped", "failed"]


@dataclass(frozen=True)
class SlideDetection:
    """One object, boxed in one field.

    Attributes:
        name: Class of the object.
        corners: Four corners, clockwise on screen, level-0 pixels.
        place: Field that shows it; level-0 pixels.
        score: Geometric mean probability of the answer's tokens, 0 to 1, shared by all boxes of
            one answer; see `boxes.SCORE_KIND`. None where the model gave no log-probabilities.
        pieces: How many boxes of different fields were stitched into this one.
    """

    name: str
    corners: tuple[Point, ...]
    place: SlidePlace
    score: float | None = None
    pieces: int = 1

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Least x and y, largest x and y, level-0 pixels."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def to_json(self) -> dict[str, Any]:
        """Return the detection as JSON, in level-0 pixels."""
        place = self.place
        return {
            "class": self.name,
            "score": self.score,
            "score_kind": None if self.score is None else SCORE_KIND,
            "corners": [list(corner) for corner in self.corners],
            "field": [place.x, place.y, place.width, place.height],
            "mpp": place.mpp,
            "pieces": self.pieces,
        }


@dataclass(frozen=True)
class FieldOutcome:
    """Outcome of one field.

    Attributes:
        place: Where it lies.
        status: ``"seen"`` (asked, and the answer read), ``"skipped"`` (not asked) or ``"failed"``
            (asked without a readable answer, or with tiles that cannot be decoded).
        reason: ``"found"`` or ``"nothing"`` when seen, else ``"background"``, ``"damaged"``,
            ``"unreadable"`` or the code of the model's error.
        boxes: Well-formed boxes in the answer, before merging.
        problems: Code of `boxes.PROBLEMS` -> how often.
        incomplete: True where the answer says, or its length shows, that it does not list all.
        cut_short: True where the answer reached the most tokens that it may have.
        unread: Beginning of an answer that cannot be read, for a person; in no file.
    """

    place: SlidePlace
    status: Status
    reason: str
    boxes: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)
    incomplete: bool = False
    cut_short: bool = False
    unread: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", MappingProxyType(dict(self.problems)))

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON, its field in level-0 pixels."""
        place = self.place
        return {
            "field": [place.x, place.y, place.width, place.height],
            "status": self.status,
            "reason": self.reason,
            "boxes": self.boxes,
            "problems": dict(self.problems),
            "incomplete": self.incomplete,
            "cut_short": self.cut_short,
        }


@dataclass(frozen=True)
class FoundOnSlide:
    """All objects of one class on a slide, each once, and how they were looked for.

    Attributes:
        category: What was asked for, singular.
        detections: The objects, merged where fields overlap, from top to bottom.
        fields: The outcome of every field that holds tissue, in the order of the slide.
        size: (width, height) of level 0, pixels.
        mpp: Microns per pixel of level 0.
        origin: Level-0 corner of what was scanned, which QuPath counts from.
        provenance: How it was made.
    """

    category: str
    detections: tuple[SlideDetection, ...]
    fields: tuple[FieldOutcome, ...]
    size: tuple[int, int]
    mpp: float
    origin: tuple[int, int]
    provenance: Provenance

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices for a reader, the research notice first."""
        told = self.provenance.get("notices", ())
        return (RESEARCH_NOTICE, *(notice for notice in told if notice != RESEARCH_NOTICE))

    @property
    def outcomes(self) -> dict[str, int]:
        """Fields by status: seen, skipped, failed; those without tissue count as skipped."""
        counted = Counter(outcome.status for outcome in self.fields)
        counted["skipped"] += self.provenance.get("left_out", {}).get("background", 0)
        return {status: counted[status] for status in ("seen", "skipped", "failed")}

    @property
    def problems(self) -> dict[str, int]:
        """Broken boxes of all answers, by code of `boxes.PROBLEMS`."""
        counted: Counter[str] = Counter()
        for outcome in self.fields:
            counted.update(outcome.problems)
        return dict(sorted(counted.items()))

    @property
    def cut_short(self) -> int:
        """Number of fields whose answer reached the most tokens that it may have."""
        return sum(outcome.cut_short for outcome in self.fields)

    @property
    def is_complete(self) -> bool:
        """True where every field was seen, and every answer listed all, unbroken."""
        left_out = self.provenance.get("left_out", {})
        return not any(reason != "background" for reason in left_out) and not any(
            outcome.status == "failed" or outcome.incomplete or outcome.problems
            for outcome in self.fields
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON, in level-0 pixels."""
        return {
            "notice": RESEARCH_NOTICE,
            "notices": list(self.notices),
            "demo": bool(self.provenance.get("demo", False)),
            "thing": self.category,
            "size": list(self.size),
            "mpp": self.mpp,
            "detections": [found.to_json() for found in self.detections],
            "outcomes": self.outcomes,
            "problems": self.problems,
            "is_complete": self.is_complete,
            "fields": [outcome.to_json() for outcome in self.fields],
            "provenance": self.provenance.to_json(),
        }


def read_boxes(
    place: SlidePlace,
    text: str,
    category: str,
    *,
    size: tuple[int, int],
    dialect: Dialect = "fit-rs",
    token_logprobs: Sequence[float] = (),
) -> tuple[tuple[SlideDetection, ...], dict[str, int]]:
    """Read the boxes of an answer about one field.

    Args:
        place: Where the field lies.
        text: The answer.
        category: What was asked for, singular: the class of boxes that the text does not name.
        size: (width, height) of level 0; boxes whose middle lies beside it are counted as problems.
        dialect: How the answer writes boxes.
        token_logprobs: Log-probability of each token of the answer.

    Returns:
        The boxes, and code of `boxes.PROBLEMS` -> how often.
    """
    read = parse_boxes(text, dialect=dialect)
    score = answer_score(token_logprobs)
    asked = {None, category, f"{category}s"}
    problems = Counter(read.problems)
    found = []
    for named in read.boxes:
        corners = tuple(_level_0(place, point) for point in named.box.corners())
        x, y = _level_0(place, (named.box.cx, named.box.cy))
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            problems["outside_scene"] += 1
            continue
        name = category if named.name in asked else str(named.name)
        found.append(SlideDetection(name, corners, place, score))
    return tuple(found), dict(sorted(problems.items()))


def merge_detections(
    detections: Sequence[SlideDetection],
    seen: Iterable[SlidePlace] = (),
    *,
    dialect: Dialect = "fit-rs",
) -> tuple[SlideDetection, ...]:
    """Return each object once, whatever the order of the detections; see `boxes.merge_boxes`.

    Args:
        detections: Boxes of any number of fields of one slide; classes are merged apart.
        seen: Every field whose answer could be read, those without boxes too.
        dialect: How the answers wrote boxes; whole per cent stray further than hundredths.
    """
    frames = [_frame(place) for place in seen]
    by_class: dict[str, list[SlideDetection]] = {}
    for detection in detections:
        by_class.setdefault(detection.name, []).append(detection)
    objects = [
        found for group in by_class.values() for found in _merged(group, frames, QUANTUM[dialect])
    ]
    return tuple(sorted(objects, key=lambda found: (found.box[1], found.box[0], found.name)))


def _merged(
    group: Sequence[SlideDetection], frames: Sequence[Frame], quantum: float
) -> Iterable[SlideDetection]:
    boxes = [ViewBox(d.corners, _frame(d.place), d.score) for d in group]
    for found in merge_boxes(boxes, frames, quantum=quantum):
        whole = group[found.best]
        for piece in found.pieces:
            if sticks_out(boxes[piece], whole.corners):
                whole = _stitched(whole, group[piece])
        yield whole


def _stitched(first: SlideDetection, second: SlideDetection) -> SlideDetection:
    """Return one detection around two pieces of an object."""
    corners = enclosing_box((*first.corners, *second.corners)).corners()
    scores = [piece.score for piece in (first, second) if piece.score is not None]
    score = min(scores) if scores else None
    return SlideDetection(first.name, corners, first.place, score, first.pieces + second.pieces)


def _frame(place: SlidePlace) -> Frame:
    return Frame(place.x, place.y, place.width, place.height)


def _level_0(place: SlidePlace, percent: Point) -> Point:
    return (
        place.x + percent[0] / 100 * place.width,
        place.y + percent[1] / 100 * place.height,
    )
