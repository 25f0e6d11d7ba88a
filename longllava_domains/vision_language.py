"""The model that pipelines depend on, of whatever family: protocols of it and its sessions.

Protocols and the small types that travel through them. `LongLlava` and `Session` of
`longllava_domains.model` satisfy them by shape; a model of another family can as well. Nothing
here imports torch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, get_args

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError, SessionError
from longllava_domains.provenance import Provenance
from longllava_domains.visual import VisualSequence

PromptProtocol = Literal["reference", "repaired", "paper"]
PROMPT_PROTOCOLS: Final[tuple[PromptProtocol, ...]] = get_args(PromptProtocol)

TAG_TOKENS: Final = 6
"""LongLLaVA spells ``<img>`` and ``</img>`` as plain text, three tokens each, around every view."""

TRAINED_TOKENS: Final = 40_960
"""Length of the rows that LongLLaVA was trained on (paper, section 4.1)."""

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class LoadOptions:
    """The options of `load_model` beside the model.

    Attributes:
        adapter: Folder or hub id of a PEFT adapter, merged into the weights.
        tokenizer: Folder with tokenizer.json; None for the checkpoint's own.
        device: A torch device or its name; None for the best that is there.
        dtype: A torch dtype, its name, or ``"auto"`` for the checkpoint's own.
        quantization: ``"int8"``, ``"none"``, or None for how the checkpoint is stored.
        kv_cache_dtype: ``"int8"`` or ``"auto"``.
    """

    adapter: str | Path | None = None
    tokenizer: str | Path | None = None
    device: Any = None
    dtype: Any = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"


@dataclass(frozen=True)
class ViewFormat:
    """The size of one view for a model, and its cost in tokens.

    Attributes:
        view_px: Longer side of a view, pixels.
        tokens_per_view: Tokens that one view becomes, without the text around it.
        trained_tokens: Length of the rows it was trained on; 0 for an untrained model.
        chips_px: Side and overlap of the chips that it learned boxes from, raster pixels; None where
            that is not known.
    """

    view_px: int = 336
    tokens_per_view: int = 144
    trained_tokens: int = TRAINED_TOKENS
    chips_px: tuple[int, int] | None = None


@checked_fields
@dataclass(frozen=True)
class Sampling:
    """Settings by which the tokens of an answer are drawn.

    Without it the most likely token is taken each time, as published protocols do.

    Attributes:
        temperature: Divides the logits; 0 takes the most likely token.
        top_p: Draw among the most likely tokens that together have this probability.
        repetition_penalty: Above 1, tokens that the answer already holds become less likely: positive
            logits are divided by it, negative ones multiplied (CTRL, arXiv 1909.05858, section 4.1).
        seed: The draws depend on it and on the logits alone, not on what is decoded beside.

    Raises:
        PolicyError: A number out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (0 <= self.temperature < math.inf, "0 or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "repetition_penalty": (0 < self.repetition_penalty < math.inf, "above 0; 1 for none"),
            "seed": (
                isinstance(self.seed, int) and 0 <= self.seed < 2**63,
                "a whole number from 0",
            ),
        }
        for name, (usable, wanted) in ranges.items():
            if not usable:
                raise PolicyError(
                    f"{name} cannot be {getattr(self, name)!r}.",
                    remedy=f"Give a number: {wanted}.",
                    code="session.sampling",
                )


@dataclass(frozen=True)
class ChoiceScore:
    """The probability of one answer, as a model sees it.

    Attributes:
        text: The choice.
        token_logprobs: Log-probability of each of its tokens, given the ones before.
    """

    text: str
    token_logprobs: tuple[float, ...]

    @property
    def sum_logprob(self) -> float:
        """Log-probability of the choice; longer choices have less."""
        return sum(self.token_logprobs)

    @property
    def mean_logprob(self) -> float:
        """Mean over tokens, for choices of different lengths."""
        return self.sum_logprob / len(self.token_logprobs)


@checked_fields
@dataclass(frozen=True)
class Monitor:
    """Progress and cancellation: who is told between chunks, and who may stop the work.

    Attributes:
        on_progress: Called with tokens done and in total.
        cancelled: Asked between chunks; true stops.
    """

    on_progress: Progress | None = None
    cancelled: Cancelled | None = None

    def between_chunks(self, done: int, total: int) -> None:
        """Report progress.

        Raises:
            SessionError: The work was cancelled.
        """
        if self.on_progress is not None:
            self.on_progress(done, total)
        if self.cancelled is not None and self.cancelled():
            raise cancelled_error(done, total)


def cancelled_error(done: int, total: int) -> SessionError:
    """Return the error for work that was stopped by whoever asked for it."""
    return SessionError(
        f"Cancelled after {done} of {total} tokens.",
        remedy="Open the session or ask again when you want the answer.",
        code="session.cancelled",
        facts={"done": done, "total": total},
    )


def load_otherwise(precision: str) -> str:
    """Return the end of a remedy: how a model of that precision is loaded to leave more memory."""
    larger = "on a device with more free memory"
    smaller = "" if precision.startswith("int8") else "in int8 or "
    return f"load the model {smaller}{larger}."


class Readout(Protocol):
    """A readout of the attention that an answer pays to each view."""

    @property
    def per_view(self) -> tuple[float, ...]:
        """The share of attention on each view, 0 to 1; what is missing to 1 went to text."""
        ...


class VisionSession(Protocol):
    """Views that a model has seen, and a conversation about them.

    Guarantees: the views are read once; an answer equals that of a prompt written whole, to the
    accuracy stated for each dtype; `score` and `fork` leave the conversation as it is.
    """

    @property
    def sequence(self) -> VisualSequence | None:
        """The views that the model looks at."""
        ...

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = ...,
        sampling: Sampling | None = ...,
        on_text: Callable[[str], None] | None = ...,
        cancelled: Cancelled | None = ...,
        readout: Any = ...,
    ) -> Answer:
        """Ask, and keep question and answer as part of the conversation."""
        ...

    def score(
        self,
        question: str,
        choices: Sequence[str],
        *,
        cancelled: Cancelled | None = ...,
        readout: Any = ...,
    ) -> tuple[ChoiceScore, ...]:
        """Return how likely each choice is as the answer."""
        ...

    def fork(self) -> "VisionSession":
        """Return a session that stands where this one does and goes its own way."""
        ...

    def extend(self, more: VisualSequence) -> None:
        """Show more views, after those already seen."""
        ...

    def new_readout(self) -> Readout:
        """Return an empty readout for the views of this session."""
        ...

    def close(self) -> None:
        """Forget everything."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class VisionLanguageModel(Protocol):
    """A model that looks at sequences of views and answers questions about them.

    Guarantees: greedy decoding unless asked otherwise; what does not fit in memory is refused
    with `MemoryBudgetError` before anything runs; every answer says how it came about.
    """

    @property
    def provenance(self) -> Provenance:
        """The weights, and how they were loaded."""
        ...

    @property
    def view_format(self) -> ViewFormat:
        """The size of one view for the model, and its cost in tokens."""
        ...

    def open(
        self, sequence: VisualSequence | None, *, preamble: str = ..., watch: Monitor | None = ...
    ) -> VisionSession:
        """Look at a sequence of views once, to ask about it many times."""
        ...

    def answer(
        self,
        sequence: VisualSequence | None,
        question: str,
        *,
        max_new_tokens: int = ...,
        sampling: Sampling | None = ...,
    ) -> Answer:
        """Answer one question about a sequence of views."""
        ...
