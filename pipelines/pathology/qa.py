"""`PathologyQA`: questions about a slide, answered over large fields seen together."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.boxes import Dialect
from longllava_domains.errors import PolicyError
from longllava_domains.pathology import Slide, TilePolicy, ZoomPolicy
from longllava_domains.pathology.regions import CUT_NOTICE, Region
from longllava_domains.pathology.views.sweep import FieldSweep
from longllava_domains.pathology.views.tissue import TissueMask
from longllava_domains.pipelines.loading import AsksAModel
from longllava_domains.pipelines.memory_remedies import with_view_count_remedy
from longllava_domains.pipelines.pathology.found import SlideDetections
from longllava_domains.pipelines.pathology.notices import told, untrained_notices
from longllava_domains.pipelines.pathology.result import SlideAnswer, field_positions
from longllava_domains.pipelines.pathology.search import (
    SlideSearch,
    SlideSearchPlan,
    slide_preset,
)
from longllava_domains.pipelines.pathology.slide_input import GivenSlide, SlideInput
from longllava_domains.pipelines.pathology.zoom import ClosestLook, first_look, look_closer
from longllava_domains.pipelines.search.asking import OnProgress
from longllava_domains.units import counted
from longllava_domains.vision_language import (
    TAG_TOKENS,
    Sampling,
    ViewFormat,
    VisionLanguageModel,
)
from longllava_domains.visual import VisualSequence

Regions = Sequence[Region | tuple[int, int, int, int]]
Tissue = TissueMask | Region | None

_RESERVED_TOKENS: Final = 1024  # kept free for the question and the answer


class PathologyQA(AsksAModel):
    """Ask about pathology slides. For research use only.

    By default the model sees the whole slide once, and then large fields at the finest resolution
    that fits, all together. ``vote-patches@1`` asks every patch alone and counts the answers: the
    usual way, kept for comparison.

    Args:
        model: A loaded model.
        policy: How slides are shown; by default views of the model's own size, as many as it was
            trained on.

    Example:
        >>> from longllava_domains import pipelines
        >>> slide_qa = pipelines.PathologyQA.from_pretrained("demo")  # doctest: +SKIP
        >>> slide_qa("case_17.svs", "What tissue is this?").text  # doctest: +SKIP
    """

    domain = "pathology"
    model: VisionLanguageModel

    @checked
    def __init__(self, model: VisionLanguageModel, *, policy: TilePolicy | None = None) -> None:
        super().__init__(model)
        self.policy = policy or tile_policy(model.view_format)

    @checked
    def __call__(
        self,
        slide: GivenSlide,
        question: str,
        *,
        policy: TilePolicy | None = None,
        regions: Regions = (),
        tissue: Tissue = None,
        zoom: ZoomPolicy | None = None,
        mpp: float | None = None,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
    ) -> SlideAnswer:
        """Ask one question about a slide, or about regions of it.

        Args:
            slide: An open `Slide`, or what `open_slide` takes.
            question: Sent as it stands.
            policy: How the slide is shown; the pipeline's own by default.
            regions: As for `Slide.to_sequence`; two are compared in one question.
            tissue: As for `Slide.to_sequence`: the user's own drawing of the tissue.
            zoom: After a first answer, show fields closer and ask again; the answer returned is the
                last. The first look leaves room for the closer ones within ``policy.max_views``.
            mpp: As for `open_slide`, where a path is given.
            max_new_tokens: Longest answer.
            sampling: How tokens are drawn; None for the most likely one.

        Raises:
            InputError: The slide cannot be read, or holds no tissue.
            PolicyError: The policy cannot be followed.
            MemoryBudgetError: The views do not fit in the memory that is free.
            ModelError: The model cannot run on it.
        """
        (answer,) = self.ask(
            slide,
            [question],
            policy=policy,
            regions=regions,
            tissue=tissue,
            zoom=zoom,
            mpp=mpp,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
        )
        return answer

    @checked
    def ask(
        self,
        slide: GivenSlide,
        questions: Iterable[str],
        *,
        policy: TilePolicy | None = None,
        regions: Regions = (),
        tissue: Tissue = None,
        zoom: ZoomPolicy | None = None,
        mpp: float | None = None,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
    ) -> list[SlideAnswer]:
        """Ask several questions, each for itself; the model looks at the slide only once.

        With `zoom`, each question has its own closer looks. Arguments and errors as in `__call__`.
        """
        asked = require_questions(questions)
        chosen = policy or self.policy
        drawn = {} if sampling is None else {"sampling": sampling}
        wished: dict[str, Any] = {"max_new_tokens": max_new_tokens, **drawn}
        chosen = chosen if zoom is None else _with_room(chosen, zoom, len(regions))
        source = SlideInput(slide, mpp)
        with source.opened() as opened:
            sequence = opened.to_sequence(chosen, regions=regions, tissue=tissue)
            origin = (opened.bounds.x, opened.bounds.y)
            if chosen.protocol == "vote-patches@1":
                voted = [self._vote(sequence, question, wished) for question in asked]
                return [
                    SlideAnswer(answer, sequence, votes, origin, source=source)
                    for answer, votes in voted
                ]
            with with_view_count_remedy():
                return [
                    SlideAnswer(
                        told(self.model, look, zoom),
                        shown,
                        origin=origin,
                        rounds=look.rounds,
                        attention=look.attention,
                        source=source,
                    )
                    for look, shown in self._looks(
                        opened, sequence, asked, chosen, zoom, tissue, wished
                    )
                ]

    @checked
    def find(
        self,
        slide: GivenSlide,
        category: str,
        *,
        view_mpp: float | None = None,
        overlap_px: int | None = None,
        region: Region | tuple[int, int, int, int] | None = None,
        tissue: Tissue = None,
        dialect: Dialect = "fit-rs",
        mpp: float | None = None,
        max_new_tokens: int | None = None,
        on_plan: Callable[[SlideSearchPlan], None] | None = None,
        on_progress: OnProgress | None = None,
        keep_in: str | Path | None = None,
    ) -> SlideDetections:
        """Look for one kind of thing in every field of a slide that holds tissue.

        Fields overlap; a thing that two of them show is counted once.

        Args:
            slide: An open `Slide`, or what `open_slide` takes.
            category: What to look for, singular, with a plain s in the plural: ``"gland"``.
            view_mpp: Microns per pixel of the views; the slide's own by default.
            overlap_px: Pixels of a view that its neighbour shows too, a fifth by default. A thing
                longer than this may be shown whole by no field, and is then stitched.
            region: Look only here: a level-0 box, or what `Slide.region` returned.
            tissue: The user's own drawing of the tissue, in place of the detector.
            dialect: How the model was taught to be asked and to write boxes.
            mpp: As for `open_slide`, where a path is given.
            max_new_tokens: Longest answer about one field; 768 by default, enough for 20 boxes.
            on_plan: Told the number of fields before the first, and the expected time after it.
            on_progress: Called with (stage, fields done, fields in all).
            keep_in: File that keeps every answer as it comes, so that a search that was stopped
                goes on with the fields that are left.

        Raises:
            InputError: The slide cannot be read, or holds no tissue.
            OutputError: ``keep_in`` is another search's file, or cannot be written.
            PolicyError: The fields cannot be cut, or the thing cannot be asked for.
            ModelError: The model cannot run on the first field; later failures are counted.
        """
        source = SlideInput(slide, mpp)
        preset = slide_preset(dialect, self.policy.view_px, overlap_px)
        preset = replace(preset, max_new_tokens=max_new_tokens or preset.max_new_tokens)
        preset.ask(category)  # refused before the slide is read
        with source.opened() as opened:
            sweep = FieldSweep(
                opened,
                opened.tissue if tissue is None else tissue,
                mpp=opened.mpp if view_mpp is None else view_mpp,
                view_px=preset.chip_px,
                overlap_px=preset.overlap_px,
                region=region,
            )
            cut = (CUT_NOTICE,) if isinstance(region, Region) and region.cut else ()
            notices = (*untrained_notices(self.model), *cut)
            search = SlideSearch(self.model, opened, category, preset, sweep, notices)
            return SlideDetections.of(search.run(on_plan, on_progress, keep_in), source)

    def _looks(
        self,
        slide: Slide,
        sequence: VisualSequence,
        questions: Iterable[str],
        policy: TilePolicy,
        zoom: ZoomPolicy | None,
        tissue: Tissue,
        wished: Mapping[str, Any],
    ) -> Iterator[tuple[ClosestLook, VisualSequence]]:
        """Yield the last answer to each question, and all that was shown for it."""
        with self.model.open(sequence) as session:
            for question in questions:
                with session.fork() as fork:
                    if zoom is None:
                        yield first_look(fork, question, **wished), sequence
                        continue
                    known = tissue
                    if known is None and policy.uses_tissue:
                        known = slide.tissue
                    look = look_closer(
                        slide, fork, question, zoom, field_positions(sequence),
                        view_px=policy.view_px, tissue=known, **wished,
                    )  # fmt: skip
                    shown = fork.sequence or sequence
                    yield look, replace(shown, left_out=sequence.left_out)

    def _vote(
        self, sequence: VisualSequence, question: str, wished: Mapping[str, Any]
    ) -> tuple[Answer, dict[str, int]]:
        """Ask every patch alone; return the first answer of the most frequent text."""
        answers: dict[str, Answer] = {}
        votes: Counter[str] = Counter()
        for view in sequence:
            alone = VisualSequence((view,), provenance=sequence.provenance.with_(views=1))
            answer = self.model.answer(alone, question, **wished)
            text = " ".join(answer.text.lower().split())
            answers.setdefault(text, answer)
            votes[text] += 1
        ((winner, _),) = votes.most_common(1)
        chosen = told(self.model, ClosestLook(answers[winner], ()))
        made = chosen.provenance.with_(views=len(sequence))
        return replace(chosen, token_logprobs=(), provenance=made), dict(votes)


def _with_room(policy: TilePolicy, zoom: ZoomPolicy, regions: int) -> TilePolicy:
    """Return the policy of the first look, which leaves room for the closer ones.

    Raises:
        PolicyError: The closer looks alone fill the budget, or patches are asked one by one.
    """
    if policy.protocol == "vote-patches@1":
        raise PolicyError(
            f"Closer looks do not go with {policy.protocol}, which asks about patches one by one.",
            remedy="See no fields closer, or use joint-lowmag@1.",
            code="slide.zoom",
        )
    # A global view and a field of each region, or a field of each.
    first = max(2, regions * (2 if policy.protocol == "joint-lowmag@1" else 1))
    room = policy.max_views - zoom.views
    if room < first:
        fitting = (policy.max_views - first) // zoom.times**2
        fewer = ""
        if fitting >= 1:
            together = ", all rounds together" if zoom.rounds > 1 else ""
            fewer = f", or see {counted(fitting, 'field')} closer at most{together}"
        raise PolicyError(
            f"A budget of {policy.max_views} views does not hold closer looks of {zoom.views} views "
            f"and the first look, which takes {first} at least.",
            remedy=f"Raise max_views to {first + zoom.views} at least{fewer}.",
            code="slide.zoom",
        )
    return replace(policy, max_views=room)


def tile_policy(view_format: ViewFormat | None) -> TilePolicy:
    """Return views of the size and number that a model was made for; else the plain default."""
    if view_format is None:
        return TilePolicy()
    if not view_format.trained_tokens:
        return TilePolicy(view_px=view_format.view_px)
    free = view_format.trained_tokens - _RESERVED_TOKENS
    fitting = free // (view_format.tokens_per_view + TAG_TOKENS + 1)
    return TilePolicy(view_px=view_format.view_px, max_views=max(2, fitting))
