"""What pipelines depend on: a vision-language model and its sessions, of whatever family.

Protocols and the small types that travel through them. `LongLlava` and `Session` of
`longllava_domains.model` satisfy them by shape; a model of another family can as well. Nothing
here imports torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, get_args

from longllava_domains.answer import Answer
from longllava_domains.errors import SessionError
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
    """How a model is loaded: what `load_model` takes beside the model.

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
    """What a model takes as one view, and what a view costs it.

    Attributes:
        view_px: Longer side of a view, pixels.
        tokens_per_view: Tokens that one view becomes, without the text around it.
        trained_tokens: Length of the rows it was trained on; 0 for an untrained model.
    """

    view_px: int = 336
    tokens_per_view: int = 144
    trained_tokens: int = TRAINED_TOKENS


@dataclass(frozen=True)
class ChoiceScore:
    """How likely a model finds one answer.

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


@dataclass(frozen=True)
class Monitor:
    """Who is told between chunks, and who may stop the work.

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
    """How much a model looked at each view while it answered."""

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
        """What the model looks at."""
        ...

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = ...,
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
        """Which weights these are and how they were loaded."""
        ...

    @property
    def view_format(self) -> ViewFormat:
        """What the model takes as one view, and what a view costs it."""
        ...

    def open(
        self, sequence: VisualSequence | None, *, preamble: str = ..., watch: Monitor | None = ...
    ) -> VisionSession:
        """Look at a sequence of views once, to ask about it many times."""
        ...

    def answer(
        self, sequence: VisualSequence | None, question: str, *, max_new_tokens: int = ...
    ) -> Answer:
        """Answer one question about a sequence of views."""
        ...
