"""`PathologyQA`: questions about a slide, answered over large fields seen together."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from longllava_domains.answer import Answer
from longllava_domains.pathology import Slide, TilePolicy, open_slide
from longllava_domains.pathology.regions import Region
from longllava_domains.pipelines.loading import load, refuse_a_name
from longllava_domains.pipelines.memory_remedies import with_view_count_remedy
from longllava_domains.pipelines.pathology.result import SlideAnswer
from longllava_domains.vision_language import (
    TAG_TOKENS,
    LoadOptions,
    Sampling,
    ViewFormat,
    VisionLanguageModel,
)
from longllava_domains.visual import VisualSequence

SlideInput = Slide | str | os.PathLike[str]
Regions = Sequence[Region | tuple[int, int, int, int]]

_RESERVED_TOKENS: Final = 1024  # kept free for the question and the answer
_NO_EVIDENCE: Final = "No published evidence for this model on this kind of image."


class PathologyQA:
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

    def __init__(self, model: VisionLanguageModel, *, policy: TilePolicy | None = None) -> None:
        refuse_a_name(model, "PathologyQA")
        self.model = model
        self.policy = policy or tile_policy(model.view_format)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        tokenizer: str | Path | None = None,
        device: Any = None,
        dtype: Any = "auto",
        quantization: str | None = None,
        kv_cache_dtype: str = "auto",
    ) -> "PathologyQA":
        """Load a model ("demo", a folder or a hub id) and make the pipeline.

        Raises:
            ModelError: The model cannot be loaded.
        """
        options = LoadOptions(adapter, tokenizer, device, dtype, quantization, kv_cache_dtype)
        return cls(load(model, options))

    def __call__(
        self,
        slide: SlideInput,
        question: str,
        *,
        policy: TilePolicy | None = None,
        regions: Regions = (),
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
            mpp=mpp,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
        )
        return answer

    def ask(
        self,
        slide: SlideInput,
        questions: Iterable[str],
        *,
        policy: TilePolicy | None = None,
        regions: Regions = (),
        mpp: float | None = None,
        max_new_tokens: int = 256,
        sampling: Sampling | None = None,
    ) -> list[SlideAnswer]:
        """Ask several questions, each for itself; the model looks at the slide only once.

        Arguments and errors as in `__call__`.
        """
        chosen = policy or self.policy
        wished: dict[str, Any] = {"max_new_tokens": max_new_tokens, "sampling": sampling}
        with ExitStack() as stack:
            opened = slide
            if not isinstance(opened, Slide):
                opened = stack.enter_context(open_slide(opened, mpp=mpp))
            sequence = opened.to_sequence(chosen, regions=regions)
            origin = (opened.bounds.x, opened.bounds.y)
        if chosen.protocol == "vote-patches@1":
            voted = [self._vote(sequence, question, wished) for question in questions]
            return [SlideAnswer(answer, sequence, votes, origin) for answer, votes in voted]
        with with_view_count_remedy():
            answers = list(self._answers(sequence, questions, wished))
        return [SlideAnswer(_told(answer), sequence, {}, origin) for answer in answers]

    def _answers(
        self, sequence: VisualSequence, questions: Iterable[str], wished: Mapping[str, Any]
    ) -> Iterator[Answer]:
        with self.model.open(sequence) as session:
            for question in questions:
                with session.fork() as fork:
                    yield fork.ask(question, **wished)

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
        chosen = _told(answers[winner])
        made = chosen.provenance.with_(views=len(sequence))
        return Answer(chosen.text, chosen.token_ids, chosen.stopped, (), made), dict(votes)


def _told(answer: Answer) -> Answer:
    """Return the answer with the notice that no model here was trained on whole slides."""
    notices = [*answer.provenance.get("notices", ()), _NO_EVIDENCE]
    made = answer.provenance.with_(notices=list(dict.fromkeys(notices)))
    return Answer(answer.text, answer.token_ids, answer.stopped, answer.token_logprobs, made)


def tile_policy(view_format: ViewFormat | None) -> TilePolicy:
    """Return views of the size and number that a model was made for; else the plain default."""
    if view_format is None:
        return TilePolicy()
    if not view_format.trained_tokens:
        return TilePolicy(view_px=view_format.view_px)
    free = view_format.trained_tokens - _RESERVED_TOKENS
    fitting = free // (view_format.tokens_per_view + TAG_TOKENS + 1)
    return TilePolicy(view_px=view_format.view_px, max_views=max(2, fitting))
