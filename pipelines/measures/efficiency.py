"""Time, throughput and memory of one model at a length of images and of text.

As the paper measures: the time to one token is the prefill; the throughput is what the further tokens
took, (n - 1) / (t_n - t_1).
"""

import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from longllava_domains.errors import MemoryBudgetError, ModelError, PolicyError
from longllava_domains.pipelines.measures.pictures import haystack, view
from longllava_domains.vision_language import TAG_TOKENS, VisionLanguageModel
from longllava_domains.visual import VisualSequence

KINDS: Final = ("images", "text")
_WORDS: Final = "The grey field lies still under a pale and quiet sky. "
_QUESTION: Final = "Describe everything that can be seen, in as many words as possible."


@dataclass(frozen=True)
class Efficiency:
    """One measurement.

    Attributes:
        kind: ``"images"`` or ``"text"``.
        tokens: Of the prompt, as asked for.
        views: Views shown; 0 for text.
        prefill_s: Time to the first token.
        tokens_per_s: Of one answer after the first token; None where it ended at once.
        generated: Tokens of that answer.
        batch_tokens_per_s: Of the best batch, None where only one was tried.
        batch: Answers of the best batch.
        peak_bytes: Most memory: of the device, or resident memory of the process.
        refused: Code of the error that ended the measurement, empty where none did.
    """

    kind: str
    tokens: int
    views: int
    prefill_s: float | None
    tokens_per_s: float | None
    generated: int
    batch_tokens_per_s: float | None
    batch: int
    peak_bytes: int
    refused: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as JSON."""
        return asdict(self)


def require_kind(kind: str) -> None:
    """Refuse a kind of input that is not measured.

    Raises:
        PolicyError: It is none of `KINDS`.
    """
    if kind not in KINDS:
        raise PolicyError(
            f"There is no measurement of {kind!r}.",
            remedy=f"Use {', '.join(KINDS)} or both.",
            code="measure.efficiency",
        )


def measure_efficiency(
    model: VisionLanguageModel, kind: str, tokens: int, *, answer: int = 1000, most_batch: int = 1
) -> Efficiency:
    """Measure one kind of input.

    Args:
        model: A loaded model.
        kind: ``"images"`` or ``"text"``.
        tokens: Length of the prompt; 100,000 in the paper.
        answer: Longest answer; 1,000 in the paper.
        most_batch: Batches of 2, 4 ... answers are tried up to this size, for as long as they fit.

    Raises:
        PolicyError: An unknown kind, or lengths that cannot be.
    """
    require_kind(kind)
    if tokens < 1 or answer < 2 or most_batch < 1:
        raise PolicyError(
            "There is no such measurement.",
            remedy="Give a prompt of 1 token or more, and an answer of 2 or more.",
            code="measure.lengths",
        )
    each = model.view_format.tokens_per_view + TAG_TOKENS
    views = max(1, tokens // each) if kind == "images" else 0
    _reset_peak()
    try:
        prefill_s, rest_s, generated = _one_answer(model, kind, views, tokens, answer)
    except MemoryBudgetError as error:
        return Efficiency(kind, tokens, views, None, None, 0, None, 0, _peak(), error.code)
    rate = (generated - 1) / rest_s if generated > 1 else None
    best, batch = _best_batch(model, kind, views, tokens, answer, most_batch)
    return Efficiency(kind, tokens, views, prefill_s, rate, generated, best, batch, _peak())


def _input(kind: str, views: int, tokens: int, view_px: int) -> tuple[VisualSequence | None, str]:
    if kind == "images":
        shown = VisualSequence(tuple(view(haystack(k, view_px, 0)) for k in range(views)))
        return shown, _QUESTION
    return None, _WORDS * max(1, tokens // 12) + _QUESTION


def _one_answer(
    model: VisionLanguageModel, kind: str, views: int, tokens: int, answer: int
) -> tuple[float, float, int]:
    """Return the time to the first token, the time of the others, and how many there were."""
    sequence, question = _input(kind, views, tokens, model.view_format.view_px)
    began = time.perf_counter()
    first_at: list[float] = []
    with model.open(sequence) as session:
        found = session.ask(
            question,
            max_new_tokens=answer,
            on_text=lambda _: None if first_at else first_at.append(time.perf_counter()),
        )
    ended = time.perf_counter()
    first = first_at[0] if first_at else ended
    return first - began, max(ended - first, 1e-9), max(len(found.token_ids), 1)


def _best_batch(
    model: VisionLanguageModel, kind: str, views: int, tokens: int, answer: int, most: int
) -> tuple[float | None, int]:
    """Return the best rate over all answers of a batch, and the batch's size."""
    from longllava_domains.model import LongLlava, answer_many

    if most < 2 or not isinstance(model, LongLlava):
        return None, 1
    sequence, question = _input(kind, views, tokens, model.view_format.view_px)
    best: tuple[float | None, int] = (None, 1)
    size = 2
    with model.open(sequence) as session:
        while size <= most:
            try:
                times = []
                for length in (1, answer):
                    began = time.perf_counter()
                    answers = answer_many([(session, question)] * size, max_new_tokens=length)
                    times.append(time.perf_counter() - began)
            except (MemoryBudgetError, ModelError):
                break
            further = sum(max(len(found.token_ids) - 1, 0) for found in answers)
            rate = further / max(times[1] - times[0], 1e-9)
            if best[0] is None or rate > best[0]:
                best = (rate, size)
            size *= 2
    return best


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _reset_peak() -> None:
    cuda: Any = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peak() -> int:
    cuda: Any = _cuda()
    if cuda is not None:
        return int(cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
