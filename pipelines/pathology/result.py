"""Result of `PathologyQA`: an answer about a slide, with the views it rests on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError
from longllava_domains.export.slides.qupath import write_views
from longllava_domains.html.facts import facts_table
from longllava_domains.pipelines.pathology.evidence import FieldEvidence, field_evidence
from longllava_domains.pipelines.pathology.slide_input import SlideInput
from longllava_domains.pipelines.pathology.zoom import ZoomRound
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlidePlace, VisualSequence


@dataclass(frozen=True, eq=False)
class SlideAnswer:
    """An answer about a slide.

    Attributes:
        answer: What the model said.
        sequence: The views it was shown, with their places; closer looks after the first.
        votes: Text -> how many patches said so; only with ``vote-patches@1``.
        origin: Level-0 corner of what was scanned, which QuPath counts from.
        rounds: Closer looks, in order; see `ZoomPolicy`.
        attention: Share of the answer's attention on each view, 0 to 1; empty where it was not
            read (votes).
        source: The slide, to read it again for `evidence`.
    """

    answer: Answer
    sequence: VisualSequence
    votes: Mapping[str, int] = field(default_factory=dict)
    origin: tuple[int, int] = (0, 0)
    rounds: tuple[ZoomRound, ...] = ()
    attention: tuple[float, ...] = ()
    source: SlideInput | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "votes", MappingProxyType(dict(self.votes)))

    @property
    def text(self) -> str:
        """Text of the answer, as the model said it."""
        return self.answer.text

    @property
    def provenance(self) -> Provenance:
        """Provenance of the answer."""
        return self.answer.provenance

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices to read before the answer, the research notice first."""
        told = self.provenance.get("notices", ())
        return (RESEARCH_NOTICE, *(notice for notice in told if notice != RESEARCH_NOTICE))

    def evidence(self, *, most: int = 6, seed: int = 0) -> FieldEvidence:
        """Return the fields that the answer looked at most, beside random ones, at native resolution.

        Where the model looked, not why it answered so.

        Args:
            most: Fields of each kind.
            seed: Of the random fields.

        Raises:
            PolicyError: Attention was not read, or the slide that you opened is closed.
            InputError: The slide cannot be read any more, or has changed.
        """
        if self.source is None or not self.attention:
            raise PolicyError(
                "Nothing says where this answer looked: patches that vote are asked alone.",
                remedy="Ask with another protocol than vote-patches@1.",
                code="slide.evidence",
            )
        unchanged = self.sequence.provenance.get("input_sha256")
        with self.source.opened(unchanged=unchanged) as slide:
            return field_evidence(
                slide, self.sequence, field_positions(self.sequence), self.attention,
                most=most, seed=seed,
            )  # fmt: skip

    def shown(self) -> Iterator[str]:
        """Yield lines that say what the model saw: every view by its place, in order."""
        yield from view_lines(self.sequence)
        for number, look in enumerate(self.rounds, start=1):
            yield (
                f"closer look {number}: {len(look.fields)} fields chosen by {look.chosen_by}, "
                f"{look.views} views"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON, with the place of every view and what was left out."""
        return (
            {
                **self.answer.to_json(),
                "notices": list(self.notices),
                "demo": bool(self.provenance.get("demo", False)),
                "views": [view.place.to_json() for view in self.sequence],
                "left_out": dict(self.sequence.left_out),
            }
            | ({"attention": list(self.attention)} if self.attention else {})
            | ({"zoom": [look.to_json() for look in self.rounds]} if self.rounds else {})
            | ({"votes": dict(self.votes)} if self.votes else {})
        )

    def show(self) -> Image.Image:
        """Return a contact sheet of the views, as a notebook shows a picture."""
        return self.sequence.show()

    def __repr__(self) -> str:
        return f"SlideAnswer({self.text!r}, {len(self.sequence)} views)"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        facts = {"notices": " ".join(self.notices), "text": self.text, "views": len(self.sequence)}
        votes = ", ".join(f"{count} x {text}" for text, count in self.votes.items())
        return facts_table("Slide answer", facts | ({"votes": votes} if votes else {}))

    def save_geojson(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the views as annotations for QuPath, counted from the corner that it counts from.

        Raises:
            OutputError: The file exists or cannot be written.
        """
        write_views(
            path,
            self.sequence,
            origin=self.origin,
            attention=self.attention,
            overwrite=overwrite,
        )


def field_positions(sequence: VisualSequence) -> list[int]:
    """Return the positions of the views that are fields, without global views above them."""
    policy = sequence.provenance.get("policy", {})
    counts: Sequence[int] = policy.get("views_of_regions", ())
    leads = set()
    if policy.get("protocol") == "joint-lowmag@1":
        begin = 0
        for count in counts:
            leads.add(begin)
            begin += count
    return [index for index in range(len(sequence)) if index not in leads]


def view_lines(sequence: VisualSequence) -> Iterator[str]:
    """Yield one line for each row of views: side and resolution, y, and every x, level-0 pixels."""
    row: list[SlidePlace] = []
    first = 1
    for view in (*sequence, None):
        place = None if view is None else view.place
        assert place is None or isinstance(place, SlidePlace)
        if row and (place is None or not _same_row(row[-1], place)):
            yield _line(first, row)
            first += len(row)
            row = []
        if place is not None:
            row.append(place)


def _same_row(one: SlidePlace, other: SlidePlace) -> bool:
    keys = ("y", "width", "height", "mpp")
    return one.x < other.x and all(getattr(one, key) == getattr(other, key) for key in keys)


def _line(first: int, row: Sequence[SlidePlace]) -> str:
    place = row[0]
    numbers = f"view {first}" if len(row) == 1 else f"views {first} to {first + len(row) - 1}"
    columns = ", ".join(str(each.x) for each in row)
    return (
        f"{numbers}: x {columns}, y {place.y}, {place.width} x {place.height} pixels of level 0, "
        f"shown at {place.mpp:.3g} microns per pixel"
    )
