"""Result of `PathologyQA`: an answer about a slide, with the views it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from longllava_domains.answer import Answer
from longllava_domains.export.slides.qupath import write_views
from longllava_domains.html.facts import facts_table
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True, eq=False)
class SlideAnswer:
    """An answer about a slide.

    Attributes:
        answer: What the model said.
        sequence: The views it was shown, with their places.
        votes: Text -> how many patches said so; only with ``vote-patches@1``.
        origin: Level-0 corner of what was scanned, which QuPath counts from.
    """

    answer: Answer
    sequence: VisualSequence
    votes: Mapping[str, int] = field(default_factory=dict)
    origin: tuple[int, int] = (0, 0)

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

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON, with the place of every view and what was left out."""
        return {
            **self.answer.to_json(),
            "notices": list(self.notices),
            "demo": bool(self.provenance.get("demo", False)),
            "views": [view.place.to_json() for view in self.sequence],
            "left_out": dict(self.sequence.left_out),
        } | ({"votes": dict(self.votes)} if self.votes else {})

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
        write_views(path, self.sequence, origin=self.origin, overwrite=overwrite)
