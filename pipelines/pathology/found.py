"""Result of `PathologyQA.find`: things on a slide, and the files they can be saved as."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from longllava_domains.errors import NotFoundError
from longllava_domains.export.dicom.annotations import AnnotationGroup, save_annotations
from longllava_domains.export.slides.qupath import write_detections
from longllava_domains.html.facts import rows_table
from longllava_domains.pathology import Slide
from longllava_domains.pathology.detections import FoundOnSlide, SlideDetection
from longllava_domains.pipelines.pathology.slide_input import SlideInput
from longllava_domains.units import counted
from longllava_domains.visual import View, VisualSequence

_LINE: Final = (20, 90, 220)


@dataclass(frozen=True)
class SlideDetections(FoundOnSlide):
    """Things found on a slide, and the files they can be saved as.

    Attributes:
        source: The slide, to read it again for pictures and DICOM headers.
    """

    source: SlideInput | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, found: FoundOnSlide, source: SlideInput) -> "SlideDetections":
        """Return what was found, with the slide that it was found on."""
        values = {each.name: getattr(found, each.name) for each in fields(FoundOnSlide)}
        return cls(**values, source=source)

    def __repr__(self) -> str:
        whole = "complete" if self.is_complete else "not complete"
        return f"SlideDetections({len(self.detections)} x {self.category}, {whole})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: one row for each detection, and the notices."""
        rows = [(found.name, found.score, *map(round, found.box)) for found in self.detections]
        title = f"{len(self.detections)} detections. {' '.join(self.notices)}"
        return rows_table(title, ("class", "score", "left", "top", "right", "bottom"), rows)

    def summary(self) -> str:
        """Say the result in one line: ``"3 mitotic figures in 120 fields, 1 field unreadable"``."""
        outcomes = self.outcomes
        asked = outcomes["seen"] + outcomes["failed"]
        parts = [f"{counted(len(self.detections), self.category)} in {counted(asked, 'field')}"]
        unreadable = [
            each for each in self.fields if each.status == "failed" and not each.cut_short
        ]
        if unreadable:
            parts.append(f"{counted(len(unreadable), 'field')} unreadable")
        if self.cut_short:
            parts.append(f"{counted(self.cut_short, 'field')} with an answer cut short")
        if outcomes["skipped"]:
            parts.append(f"{counted(outcomes['skipped'], 'field')} without tissue")
        more = sum(each.incomplete and not each.cut_short for each in self.fields)
        if more:
            parts.append(f"{counted(more, 'field')} with more than was listed")
        return ", ".join(parts)

    def save_geojson(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write detections for QuPath, counted from the corner that it counts from.

        Raises:
            OutputError: The file exists or cannot be written.
        """
        write_detections(path, self, overwrite=overwrite)

    def save_dicom_ann(
        self, path: str | Path, *, overwrite: bool = False, allow_demo: bool = False
    ) -> None:
        """Write DICOM Microscopy Bulk Simple Annotations (Supplement 222) for a DICOM slide.

        The file takes patient and study from the slide's own headers, re-read now, and can be read
        by its owner alone.

        Args:
            path: Where the file goes.
            overwrite: Replace a file that is already there.
            allow_demo: Let a demonstration result through (tests only).

        Raises:
            OutputError: Nothing was found, a demonstration result, no DICOM slide, headers without
                identifiers, or the file exists or cannot be written.
            InputError: The slide cannot be read any more.
        """
        groups: dict[str, list[SlideDetection]] = {}
        for found in self.detections:
            groups.setdefault(found.name, []).append(found)
        header = None
        if self.source is not None:
            with self.source.opened() as slide:
                header = slide.source.header()
        save_annotations(
            path,
            [
                AnnotationGroup(
                    name, [found.corners for found in group], [found.score for found in group]
                )
                for name, group in groups.items()
            ],
            header,
            self.provenance,
            overwrite=overwrite,
            allow_demo=allow_demo,
        )

    def show(self, *, most: int = 24) -> Image.Image:
        """Return a contact sheet of the fields that hold detections, outlines drawn on them.

        Args:
            most: Fields drawn, those with most detections first, then in the order of the slide.

        Raises:
            NotFoundError: Nothing was found.
            InputError: The slide cannot be read any more.
            PolicyError: The slide that you opened is closed.
        """
        by_place: dict[Any, list[SlideDetection]] = {}
        for found in self.detections:
            by_place.setdefault(found.place, []).append(found)
        if not by_place or self.source is None:
            raise NotFoundError(
                "Nothing was found, so there is no field to draw.",
                remedy="Use to_json for what became of each field.",
                code="slide.nothing_found",
            )
        chosen = sorted(by_place, key=lambda place: (-len(by_place[place]), place.y, place.x))
        chosen = sorted(chosen[:most], key=lambda place: (place.y, place.x))
        unchanged = self.provenance.get("input_sha256")
        with self.source.opened(unchanged=unchanged) as slide:
            views = [_drawn(slide, place, self.detections) for place in chosen]
        return VisualSequence(tuple(views), provenance=self.provenance).show()


def _drawn(slide: Slide, place: Any, detections: Iterable[SlideDetection]) -> View:
    """Return a field with the outline of every detection that reaches into it."""
    box = (place.x, place.y, place.width, place.height)
    picture = Image.fromarray(slide.read(*box, mpp=place.mpp, damaged="mark"))
    draw = ImageDraw.Draw(picture)
    scale = slide.mpp / place.mpp
    for found in detections:
        ring = [((x - place.x) * scale, (y - place.y) * scale) for x, y in found.corners]
        draw.polygon(ring, outline=_LINE, width=2)
    return View(np.asarray(picture), place)
