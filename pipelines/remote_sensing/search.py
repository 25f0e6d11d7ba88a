"""Ask a model where things are, chip by chip, and account for every chip."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.evidence_notice import no_evidence
from longllava_domains.pipelines.remote_sensing.result import SceneDetections
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
from longllava_domains.provenance import SCENE_NOTICE
from longllava_domains.remote_sensing import Raster
from longllava_domains.remote_sensing.detections.detection import (
    Detection,
    ViewReading,
    from_text,
    view_id,
)
from longllava_domains.remote_sensing.detections.detections import ChipOutcome
from longllava_domains.remote_sensing.detections.merge import merge
from longllava_domains.remote_sensing.views.chips import Chips
from longllava_domains.units import counted
from longllava_domains.visual import MapPlace, View
from longllava_domains.visual.strips import Mask

OUTSIDE_NOTICE: Final = "Outside the ground resolution the model was trained on."

Outside = Literal["warn", "refuse"]

# Published ranges are round numbers; a map's scale alone varies by some per cent over a scene.
_LEEWAY: Final = 1.1


@dataclass(frozen=True)
class SearchPlan:
    """Cost of a search, told before it begins.

    Attributes:
        chips: Chips to look at, at most; those without data are skipped.
        chip_px: Side of a chip, raster pixels.
        overlap_px: Pixels that neighbouring chips share.
        resolution_m: Ground metres per pixel shown, None where unknown.
        expected_s: Seconds the search will take; None until a first chip has been timed.
        warnings: What is doubtful about it.
    """

    chips: int
    chip_px: int
    overlap_px: int
    resolution_m: float | None
    expected_s: float | None = None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        ground = "unknown" if self.resolution_m is None else f"{self.resolution_m:.3g} m"
        if self.expected_s is None:
            expected = "time known after the first chip"
        else:
            expected = f"about {self.expected_s:.0f} s"
        shown = f"{counted(self.chips, 'chip')} of {self.chip_px} px, {self.overlap_px} px shared"
        return "; ".join((shown, f"ground resolution {ground}", expected, *self.warnings))


def require_searchable(raster: Raster, category: str, preset: SearchPreset) -> None:
    """Refuse a search that cannot begin, before a model is loaded for it.

    Raises:
        PolicyError: Chips that cannot be cut, or a thing that cannot be asked for.
    """
    preset.ask(category)
    Chips(raster, preset.chip_px, preset.overlap_px)


class Search:
    """One search of one scene.

    Args:
        model: Answers questions about views.
        raster: The scene.
        category: What to look for, singular.
        preset: Words, chip size and overlap.
        outside: What to do where the scene's resolution is not among those trained on.

    Raises:
        PolicyError: Chips that cannot be cut, a thing that cannot be asked for, or a resolution
            outside the trained range with ``outside="refuse"``.
    """

    def __init__(
        self,
        model: AnsweringModel,
        raster: Raster,
        category: str,
        preset: SearchPreset,
        outside: Outside = "warn",
    ) -> None:
        self.model = model
        self.raster = raster
        self.category = category.strip()
        self.preset = preset
        self.question = preset.ask(category)
        self.chips = Chips(raster, preset.chip_px, preset.overlap_px)
        self.warnings = self._doubts(outside)
        self.shown = raster.provenance.with_(
            policy={
                "preset": preset.name,
                "chip_px": preset.chip_px,
                "overlap_px": preset.overlap_px,
                "dialect": preset.dialect,
            },
            layout="images",
            notices=[
                SCENE_NOTICE,
                *self.warnings,
                *raster.notices,
                *no_evidence(getattr(model, "provenance", {}), domain="remote_sensing"),
            ],
        )

    def plan(self, chip_s: float | None = None) -> SearchPlan:
        """Return what the search will cost, given the seconds one chip takes."""
        return SearchPlan(
            chips=len(self.chips),
            chip_px=self.preset.chip_px,
            overlap_px=self.preset.overlap_px,
            resolution_m=self.raster.resolution_m,
            expected_s=None if chip_s is None else chip_s * len(self.chips),
            warnings=self.warnings,
        )

    def run(
        self,
        on_plan: Callable[[SearchPlan], None] | None = None,
        on_progress: OnProgress | None = None,
        keep_in: str | Path | None = None,
    ) -> SceneDetections:
        """Ask about every chip that holds data, and merge what was found.

        Args:
            on_plan: Called before the first chip, and again when that one has been timed.
            on_progress: Called with (stage, chips done, chips in all).
            keep_in: File that keeps every answer as it comes; chips whose answers are in it already
                are not asked again.

        Raises:
            OutputError: The file is another search's, or cannot be written.
            DamagedInputError: A block of the scene cannot be decoded.
            ModelError: The model cannot run on the first chip; later failures are counted.
        """
        if on_plan is not None:
            on_plan(self.plan())
        began = time.perf_counter()
        found: list[Detection] = []
        outcomes: list[ChipOutcome] = []
        made = self.shown
        with ExitStack() as stack:
            journal = None if keep_in is None else stack.enter_context(self._journal(keep_in))
            asked = 0
            for view, valid in self.chips.with_masks():
                place = view.place
                assert isinstance(place, MapPlace)
                answer, failure = self._answer(view, journal, is_first=not outcomes)
                if answer is None:
                    outcomes.append(ChipOutcome(place, "failed", failure))
                else:
                    reading, outcome = self._read(place, valid, answer)
                    found.extend(reading.detections)
                    outcomes.append(outcome)
                    made = made.with_(**answer.provenance)
                asked += journal is None or view_id(place) not in journal.answers
                if on_plan is not None and len(outcomes) == asked == 1:
                    on_plan(self.plan(time.perf_counter() - began))
                if on_progress is not None:
                    on_progress("find", len(outcomes) + len(self.chips.skipped), len(self.chips))
        skipped = [ChipOutcome(place, "skipped", "nodata") for place in self.chips.skipped]
        outcomes = sorted([*outcomes, *skipped], key=lambda o: (o.place.row, o.place.column))
        seen = [outcome.place for outcome in outcomes if outcome.status == "seen"]
        facts = {
            "views": len(outcomes) - len(skipped),
            "left_out": {"nodata": len(skipped)},
            "seconds": round(time.perf_counter() - began, 3),
        }
        return SceneDetections(
            category=self.category,
            detections=merge(found, seen, dialect=self.preset.dialect),
            chips=tuple(outcomes),
            size=(self.raster.width, self.raster.height),
            provenance=sealed(made, self.question, self.shown["notices"], **facts),
        )

    def _journal(self, path: str | Path) -> SearchJournal:
        """Return the file of this very search: scene, model, question and chips."""
        scene = {key: value for key, value in self.shown.items() if key != "notices"}
        words = {"question": self.question, "max_new_tokens": self.preset.max_new_tokens}
        return SearchJournal(path, {"scene": scene, "model": model_identity(self.model), **words})

    def _answer(
        self, view: View, journal: SearchJournal | None, *, is_first: bool
    ) -> tuple[Answer | None, str]:
        """Return the answer that was kept, or ask and keep it."""
        assert isinstance(view.place, MapPlace)
        name = view_id(view.place)
        if journal is not None and name in journal.answers:
            return journal.answers[name], ""
        answer, failure = ask_view(
            self.model, view, self.question, self.preset, self.shown, is_first=is_first
        )
        if journal is not None and answer is not None:
            journal.keep(name, answer)
        return answer, failure

    def _read(
        self, place: MapPlace, valid: Mask | None, answer: Answer
    ) -> tuple[ViewReading, ChipOutcome]:
        reading = from_text(
            place,
            answer.text,
            self.category,
            scene_px=(self.raster.width, self.raster.height),
            valid=valid,
            dialect=self.preset.dialect,
            token_logprobs=answer.token_logprobs,
        )
        boxes = len(reading.detections)
        verdict = judged(answer, self.preset, boxes, reading.problems)
        outcome = ChipOutcome(
            place,
            status=verdict.status,
            reason=verdict.reason,
            boxes=boxes,
            problems=reading.problems,
            incomplete=verdict.incomplete,
            cut_short=verdict.cut_short,
            unread=verdict.unread,
        )
        return reading, outcome

    def _doubts(self, outside: Outside) -> tuple[str, ...]:
        trained, ground_m = self.preset.trained_resolution_m, self.raster.resolution_m
        if trained is None or ground_m is None:
            return ()
        if trained[0] / _LEEWAY <= ground_m <= trained[1] * _LEEWAY:
            return ()
        if outside == "refuse":
            raise PolicyError(
                f"The scene has {ground_m:.3g} m per pixel; the model was trained on "
                f"{trained[0]:g} m to {trained[1]:g} m.",
                remedy='Use a scene or an adapter of that range, or pass outside="warn".',
                code="find.resolution",
                facts={"resolution_m": ground_m, "trained_resolution_m": trained},
            )
        return (OUTSIDE_NOTICE,)
