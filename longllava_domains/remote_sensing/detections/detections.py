"""`Detections`: what was found in a scene, and what became of every view that was asked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from longllava_domains.boxes import Point, intersection
from longllava_domains.provenance import SCENE_NOTICE, Provenance, notices_for
from longllava_domains.remote_sensing.detections.detection import Detection, view_id
from longllava_domains.remote_sensing.detections.polygons import view_ring
from longllava_domains.visual.place import MapPlace

Status = Literal["seen", "skipped", "failed"]


@dataclass(frozen=True)
class ChipOutcome:
    """Outcome of one view.

    Attributes:
        place: Where it lies.
        status: ``"seen"`` (asked, and the answer read), ``"skipped"`` (not asked) or
            ``"failed"`` (asked without a readable answer).
        reason: ``"found"`` or ``"nothing"`` when seen, ``"nodata"`` when skipped, else
            ``"unreadable"`` or the code of the model's error.
        boxes: Well-formed boxes in the answer, before merging.
        problems: Code of `boxes.PROBLEMS` -> how often.
        incomplete: True where the answer says, or its length shows, that it does not list all.
        cut_short: True where the answer reached the most tokens that it may have.
        unread: Beginning of an answer that cannot be read, for a person; in no file.
    """

    place: MapPlace
    status: Status
    reason: str
    boxes: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)
    incomplete: bool = False
    cut_short: bool = False
    unread: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", MappingProxyType(dict(self.problems)))

    @property
    def view_id(self) -> str:
        """Name of the view, as its detections carry it."""
        return view_id(self.place)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON, its window in raster pixels."""
        place = self.place
        return {
            "view_id": self.view_id,
            "window": [place.column, place.row, place.width, place.height],
            "status": self.status,
            "reason": self.reason,
            "boxes": self.boxes,
            "problems": dict(self.problems),
            "incomplete": self.incomplete,
            "cut_short": self.cut_short,
        }


@dataclass(frozen=True)
class Detections:
    """All objects of one class in a scene, each once, and how they were looked for.

    Attributes:
        category: What was asked for, singular.
        detections: The objects, merged where views overlap.
        chips: The outcome of every view, in the order of the scene.
        size: (width, height) of the raster, pixels.
        provenance: How it was made.
    """

    category: str
    detections: tuple[Detection, ...]
    chips: tuple[ChipOutcome, ...]
    size: tuple[int, int]
    provenance: Provenance

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to read before the result, the research notice first."""
        return notices_for(self.provenance.with_(domain="remote-sensing"))

    @property
    def outcomes(self) -> dict[str, int]:
        """Views by status: seen, skipped, failed."""
        counted = Counter(chip.status for chip in self.chips)
        return {status: counted[status] for status in ("seen", "skipped", "failed")}

    @property
    def problems(self) -> dict[str, int]:
        """Broken boxes of all answers, by code of `boxes.PROBLEMS`."""
        counted: Counter[str] = Counter()
        for chip in self.chips:
            counted.update(chip.problems)
        return dict(sorted(counted.items()))

    @property
    def cut_short(self) -> int:
        """Number of chips whose answer reached the most tokens that it may have."""
        return sum(outcome.cut_short for outcome in self.chips)

    @property
    def is_complete(self) -> bool:
        """True where every view was seen or empty, and every answer listed all, unbroken."""
        return not any(
            chip.status == "failed" or chip.incomplete or chip.problems for chip in self.chips
        )

    @property
    def scene(self) -> MapPlace:
        """The whole raster as a place."""
        width, height = self.size
        return replace(self.chips[0].place, column=0, row=0, width=width, height=height)

    def outline(self, chip: ChipOutcome) -> tuple[Point, ...]:
        """Return the part of the raster that a view shows, padding left out, in pixels."""
        return tuple(intersection(view_ring(chip.place), view_ring(self.scene)))

    def to_json(self) -> dict[str, Any]:
        """Return everything in pixels, and in map coordinates where there are any."""
        return {
            "notice": SCENE_NOTICE,
            "notices": list(self.notices),
            "demo": bool(self.provenance.get("demo", False)),
            "thing": self.category,
            "size": list(self.size),
            "detections": [found.to_json() for found in self.detections],
            "outcomes": self.outcomes,
            "problems": self.problems,
            "is_complete": self.is_complete,
            "chips": [chip.to_json() for chip in self.chips],
            "provenance": self.provenance.to_json(),
        }
