"""Ask a model where things are on a slide, field by field, and account for every field."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.answer import Answer
from longllava_domains.boxes import Dialect
from longllava_domains.pathology import Slide
from longllava_domains.pathology.detections import (
    FieldOutcome,
    FoundOnSlide,
    SlideDetection,
    merge_detections,
    read_boxes,
)
from longllava_domains.pathology.views.sweep import FieldSweep
from longllava_domains.pipelines.search.asking import (
    AnsweringModel,
    OnProgress,
    ask_view,
    judged,
    model_identity,
    sealed,
)
from longllava_domains.pipelines.search.journal import SearchJournal
from longllava_domains.pipelines.search.preset import SearchPreset
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.units import counted
from longllava_domains.visual import SlidePlace, View

# Of a field's side: what two neighbours show. An object longer than this may be shown whole by none.
_SHARED: Final = 0.2


def slide_preset(dialect: Dialect, view_px: int, overlap_px: int | None = None) -> SearchPreset:
    """Return how a thing is asked for on a slide: the dialect's words, fields of the model's size.

    No data set of boxes on slides is published for models of this kind; the words are those of the
    dialect's own satellite data, and every result says that nothing was measured.

    Raises:
        PolicyError: There is no such dialect.
    """
    words = SearchPreset.named(dialect)
    return replace(
        words,
        name=f"slide-{words.name}",
        chip_px=view_px,
        overlap_px=round(view_px * _SHARED) if overlap_px is None else overlap_px,
        trained_resolution_m=None,
    )


@dataclass(frozen=True)
class SlideSearchPlan:
    """Cost of a search of a slide, told before it begins.

    Attributes:
        fields: Fields to look at.
        background: Fields without tissue, which are not looked at.
        view_px: Side of a field as shown.
        overlap_px: Pixels that neighbours share.
        mpp: Microns per pixel as shown.
        expected_s: Seconds the search will take; None until a first field has been timed.
    """

    fields: int
    background: int
    view_px: int
    overlap_px: int
    mpp: float
    expected_s: float | None = None

    def __str__(self) -> str:
        expected = "time known after the first field"
        if self.expected_s is not None:
            expected = f"about {self.expected_s:.0f} s"
        return (
            f"{counted(self.fields, 'field')} of {self.view_px} px at {self.mpp:.3g} microns per "
            f"pixel, {self.overlap_px} px shared; {self.background:,} without tissue; {expected}"
        )


@dataclass
class _Tally:
    """Things and outcomes found so far."""

    made: Provenance
    found: list[SlideDetection] = field(default_factory=list)
    outcomes: list[FieldOutcome] = field(default_factory=list)


class SlideSearch:
    """One search of one slide.

    Args:
        model: Answers questions about views.
        slide: An open slide.
        category: What to look for, singular.
        preset: Words, size and overlap of fields; from `slide_preset`.
        sweep: The fields.
        notices: Told with every result.

    Raises:
        PolicyError: A thing that cannot be asked for.
    """

    def __init__(
        self,
        model: AnsweringModel,
        slide: Slide,
        category: str,
        preset: SearchPreset,
        sweep: FieldSweep,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.model = model
        self.slide = slide
        self.category = category.strip()
        self.preset = preset
        self.question = preset.ask(category)
        self.sweep = sweep
        self.shown = slide.provenance.with_(
            policy={
                "preset": preset.name,
                "dialect": preset.dialect,
                "view_px": preset.chip_px,
                "overlap_px": preset.overlap_px,
                "mpp": sweep.mpp,
            },
            layout="images",
            notices=[RESEARCH_NOTICE, *notices],
        )

    def plan(self, field_s: float | None = None) -> SlideSearchPlan:
        """Return what the search will cost, given the seconds one field takes."""
        return SlideSearchPlan(
            fields=len(self.sweep),
            background=self.sweep.background,
            view_px=self.preset.chip_px,
            overlap_px=self.preset.overlap_px,
            mpp=self.sweep.mpp,
            expected_s=None if field_s is None else field_s * len(self.sweep),
        )

    def run(
        self,
        on_plan: Callable[[SlideSearchPlan], None] | None = None,
        on_progress: OnProgress | None = None,
        keep_in: str | Path | None = None,
    ) -> FoundOnSlide:
        """Ask about every field that holds tissue, and merge what was found.

        Args:
            on_plan: Called before the first field, and again when that one has been timed.
            on_progress: Called with (stage, fields done, fields in all).
            keep_in: File that keeps every answer as it comes; fields whose answers are in it
                already are not asked again.

        Raises:
            OutputError: The file is another search's, or cannot be written.
            ModelError: The model cannot run on the first field; later failures are counted.
        """
        if on_plan is not None:
            on_plan(self.plan())
        began, asked = time.perf_counter(), 0
        tally = _Tally(self.shown)
        with ExitStack() as stack:
            journal = None if keep_in is None else stack.enter_context(self._journal(keep_in))
            for place, view in self.sweep.views():
                fresh = journal is None or _name(place) not in journal.answers
                self._look(place, view, journal, tally)
                asked += fresh and view is not None
                if on_plan is not None and asked == len(tally.outcomes) == 1:
                    on_plan(self.plan(time.perf_counter() - began))
                if on_progress is not None:
                    on_progress("find", len(tally.outcomes), len(self.sweep))
        seen = [outcome.place for outcome in tally.outcomes if outcome.status == "seen"]
        skipped = {"background": self.sweep.background} if self.sweep.background else {}
        return FoundOnSlide(
            category=self.category,
            detections=merge_detections(tally.found, seen, dialect=self.preset.dialect),
            fields=tuple(tally.outcomes),
            size=self.slide.size,
            mpp=self.slide.mpp,
            origin=(self.slide.bounds.x, self.slide.bounds.y),
            provenance=sealed(
                tally.made,
                self.question,
                self.shown["notices"],
                views=sum(outcome.reason != "damaged" for outcome in tally.outcomes),
                left_out=skipped,
                load_report=self.slide.report.to_json(),
                seconds=round(time.perf_counter() - began, 3),
            ),
        )

    def _look(
        self, place: SlidePlace, view: View | None, journal: SearchJournal | None, tally: _Tally
    ) -> None:
        """Ask about one field, or take the answer that was kept, and write down what it says."""
        if view is None:
            tally.outcomes.append(FieldOutcome(place, "failed", "damaged"))
            return
        answer, failure = self._answer(place, view, journal, is_first=tally.made is self.shown)
        if answer is None:
            tally.outcomes.append(FieldOutcome(place, "failed", failure))
            return
        boxes, problems = read_boxes(
            place,
            answer.text,
            self.category,
            size=self.slide.size,
            dialect=self.preset.dialect,
            token_logprobs=answer.token_logprobs,
        )
        verdict = judged(answer, self.preset, len(boxes), problems)
        tally.found.extend(boxes)
        tally.outcomes.append(
            FieldOutcome(
                place, verdict.status, verdict.reason, len(boxes), problems, verdict.incomplete,
                verdict.cut_short, verdict.unread,
            )
        )  # fmt: skip
        tally.made = tally.made.with_(**answer.provenance)

    def _answer(
        self, place: SlidePlace, view: View, journal: SearchJournal | None, *, is_first: bool
    ) -> tuple[Answer | None, str]:
        """Return the answer that was kept, or ask and keep it."""
        name = _name(place)
        if journal is not None and name in journal.answers:
            return journal.answers[name], ""
        answer, failure = ask_view(
            self.model, view, self.question, self.preset, self.shown, is_first=is_first
        )
        if journal is not None and answer is not None:
            journal.keep(name, answer)
        return answer, failure

    def _journal(self, path: str | Path) -> SearchJournal:
        """Return the file of this very search: slide, model, question and fields."""
        key: Mapping[str, Any] = {
            "slide": {
                name: value
                for name, value in self.shown.items()
                if name not in ("notices", "load_report")
            },
            "fields": [[place.x, place.y, place.width] for place in self.sweep.places],
            "model": model_identity(self.model),
            "question": self.question,
            "max_new_tokens": self.preset.max_new_tokens,
        }
        return SearchJournal(path, key)


def _name(place: SlidePlace) -> str:
    """Name a field; the same window always has the same name."""
    return f"field-x{place.x}-y{place.y}-{place.width}x{place.height}-{place.mpp:.6g}"
