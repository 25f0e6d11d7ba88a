"""`RemoteSensingQA`: questions about a scene, and things in it put on the map."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.boxes import Dialect
from longllava_domains.pipelines.evidence_notice import no_evidence
from longllava_domains.pipelines.loading import AsksAModel
from longllava_domains.pipelines.memory_remedies import with_token_budget_remedy
from longllava_domains.pipelines.remote_sensing.result import Count, SceneAnswer, SceneDetections
from longllava_domains.pipelines.remote_sensing.search import Outside, Search, SearchPlan
from longllava_domains.pipelines.search.asking import AnsweringModel, OnProgress
from longllava_domains.pipelines.search.preset import SearchPreset
from longllava_domains.provenance import notices_for
from longllava_domains.remote_sensing import GridPolicy, Raster, open_raster
from longllava_domains.remote_sensing.dates import dates_sequence, open_dates, told
from longllava_domains.vision_language import TRAINED_TOKENS, Sampling, ViewFormat

Scene = Raster | str | Path | Sequence[str | Path | Raster]


class RemoteSensingQA(AsksAModel):
    """Ask about satellite and aerial scenes. For research use only.

    Two kinds of question. *What is this?* is asked once, of a global view and a grid of tiles.
    *Where* and *how many* are asked chip by chip, because a percentage in a box has a meaning
    only within one view; the boxes are then moved to the map and merged.

    Args:
        model: A loaded model, or any object with its `answer` method.
        policy: How scenes are shown to scene questions; by default the model's own tile size
            and trained length.
        trained_resolution_m: Least and largest ground metres per pixel that the adapter was
            trained on; by default those of the dialect's data set.
        outside: What `find` does with a scene of another resolution: ``"warn"`` (a notice in
            the plan and in every output) or ``"refuse"``.

    Example:
        >>> from longllava_domains import pipelines
        >>> scene_qa = pipelines.RemoteSensingQA.from_pretrained("demo")  # doctest: +SKIP
        >>> ships = scene_qa.find("harbour.tif", "ship")  # doctest: +SKIP
        >>> ships.save_geopackage("ships.gpkg")  # doctest: +SKIP
    """

    domain = "remote_sensing"
    model: AnsweringModel

    @checked
    def __init__(
        self,
        model: AnsweringModel,
        *,
        policy: GridPolicy | None = None,
        trained_resolution_m: tuple[float, float] | None = None,
        outside: Outside = "warn",
    ) -> None:
        super().__init__(model)
        self.policy = policy or grid_policy(getattr(model, "view_format", None))
        self.trained_resolution_m = trained_resolution_m
        self.outside: Outside = outside

    @checked
    def __call__(
        self,
        scene: Scene,
        question: str,
        *,
        policy: GridPolicy | None = None,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
    ) -> SceneAnswer:
        """Ask one question about a whole scene, or about one place at several dates.

        Args:
            scene: An open `Raster`, or what `open_raster` takes; a list of them is one place at
                several dates, in this order (a mosaic is ``open_raster([...])``).
            question: Sent as it stands; where the views are not north up, after a sentence that says
                where north is.
            policy: How the scene is shown; the pipeline's own by default.
            max_new_tokens: Longest answer; FIT-RSFG uses 256.
            sampling: How tokens are drawn; None for the most likely one, as protocols ask for.

        Raises:
            InputError: The scene cannot be read.
            PolicyError: The policy cannot be followed.
            MemoryBudgetError: The views do not fit in the memory that is free; ``facts`` hold
                ``needed_bytes``, ``available_bytes``, ``largest_views`` and ``grid_max_tokens``.
            ModelError: The model cannot run on it.
        """
        require_questions([question])
        chosen = policy or self.policy
        with ExitStack() as stack:
            rasters = _dates(scene, stack)
            if len(rasters) > 1:
                sequence = dates_sequence(rasters, chosen)
                question = f"{told(rasters)} {question}"
            else:
                sequence = rasters[0].to_sequence(chosen)
        compass = rasters[0].compass
        if compass is not None and not compass.is_north_up:
            question = f"{compass} {question}"
        with with_token_budget_remedy(chosen):
            drawn: dict[str, Any] = {} if sampling is None else {"sampling": sampling}
            answer = self.model.answer(sequence, question, max_new_tokens=max_new_tokens, **drawn)
        notices = [notice for raster in rasters for notice in raster.notices]
        notices += no_evidence(answer.provenance, domain="remote_sensing")
        return SceneAnswer(_with_notices(answer, notices), sequence)

    @checked
    def find(
        self,
        scene: Scene,
        category: str,
        *,
        dialect: Dialect = "fit-rs",
        size_px: int | None = None,
        overlap_px: int | None = None,
        max_new_tokens: int | None = None,
        on_plan: Callable[[SearchPlan], None] | None = None,
        on_progress: OnProgress | None = None,
        keep_in: str | Path | None = None,
    ) -> SceneDetections:
        """Look for one kind of thing in every part of a scene, at native resolution.

        Args:
            scene: An open `Raster`, or what `open_raster` takes.
            category: What to look for, singular, such as ``"ship"``.
            dialect: How the model was taught to be asked and to write boxes.
            size_px: Side of a chip, raster pixels; by default that of the chips that the model
                learned boxes from, or else of the dialect's data set.
            overlap_px: Pixels that neighbouring chips share. An object longer than this may be
                shown whole by no chip, and is then stitched.
            max_new_tokens: Longest answer about one chip; 768 by default, enough for 20 boxes.
            on_plan: Told the number of chips before the first, and the expected time after it.
            on_progress: Called with (stage, chips done, chips in all).
            keep_in: File that keeps every answer as it comes, so that a search that was stopped goes
                on with the chips that are left. See `saving.require_savable` for what else is worth
                asking before a long search.

        Raises:
            InputError: The scene cannot be read.
            OutputError: ``keep_in`` is another search's file, or cannot be written.
            PolicyError: The chips cannot be cut, or the resolution is refused.
            ModelError: The model cannot run on a chip.
        """
        learned = getattr(getattr(self.model, "view_format", None), "chips_px", None)
        preset = SearchPreset.named(dialect).with_chips(*(learned or (None, None)))
        preset = preset.with_chips(size_px, overlap_px)
        preset = replace(
            preset,
            max_new_tokens=max_new_tokens or preset.max_new_tokens,
            trained_resolution_m=self.trained_resolution_m or preset.trained_resolution_m,
        )
        with ExitStack() as stack:
            search = Search(self.model, _opened(scene, stack), category, preset, self.outside)
            return search.run(on_plan, on_progress, keep_in)

    @checked
    def count(
        self,
        scene: Scene,
        category: str,
        *,
        dialect: Dialect = "fit-rs",
        on_plan: Callable[[SearchPlan], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Count:
        """Count one kind of thing by finding each; arguments and errors as in `find`."""
        found = self.find(
            scene, category, dialect=dialect, on_plan=on_plan, on_progress=on_progress
        )
        return Count(found)


def _opened(scene: Scene, stack: ExitStack) -> Raster:
    """Return an open raster; one that is opened here is closed with the stack."""
    return scene if isinstance(scene, Raster) else stack.enter_context(open_raster(scene))


def _dates(scene: Scene, stack: ExitStack) -> list[Raster]:
    """Return one open raster, or one for each date of a place."""
    if isinstance(scene, (Raster, str, os.PathLike)) or not isinstance(scene, (list, tuple)):
        return [_opened(scene, stack)]
    if all(isinstance(one, Raster) for one in scene):
        return list(scene)
    rasters = open_dates(scene)
    for raster in rasters:
        stack.enter_context(raster)
    return rasters


def _with_notices(answer: Answer, notices: Sequence[str]) -> Answer:
    """Return the answer with the scene's notices, whatever the model recorded of them."""
    told = [*answer.provenance.get("notices", ()), *notices]
    made = answer.provenance.with_(domain="remote-sensing", notices=told)
    return replace(answer, provenance=made.with_(notices=notices_for(made)))


def grid_policy(view_format: ViewFormat | None) -> GridPolicy:
    """Return the grid that a model was made for; the plain default where it does not say."""
    if view_format is None:
        return GridPolicy()
    return GridPolicy(
        tile_px=view_format.view_px,
        global_px=view_format.view_px,
        tokens_per_view=view_format.tokens_per_view,
        max_tokens=view_format.trained_tokens or TRAINED_TOKENS,
    )
