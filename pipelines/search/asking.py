"""Interface that a search needs of a model, and asking one view so that no failure is lost."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from longllava_domains.answer import Answer
from longllava_domains.errors import ModelError
from longllava_domains.pipelines.search.preset import SearchPreset
from longllava_domains.provenance import Provenance, notices_for
from longllava_domains.units import content_hash
from longllava_domains.visual import View, VisualSequence

OnProgress = Callable[[str, int, int], None]

# Facts of one answer, which mean nothing for all of them together.
_PER_ANSWER: Final = ("stop", "tokens", "beyond_trained_length")

# Of an answer that cannot be read, enough to see what it is.
_SHOWN_CHARACTERS: Final = 80
# What makes a model's answers its own.
_MODEL_IDENTITY: Final = (
    "model", "model_sha256", "model_revision", "adapter", "adapter_sha256", "dtype", "quantization",
)  # fmt: skip


class AnsweringModel(Protocol):
    """Interface that a pipeline needs of a model; `LongLlava` is one."""

    def answer(
        self, sequence: VisualSequence | None, question: str, *, max_new_tokens: int = ...
    ) -> Answer:
        """Answer one question about a sequence of views."""
        ...


def ask_view(
    model: AnsweringModel, view: View, question: str, preset: SearchPreset, shown: Provenance,
    *, is_first: bool,
) -> tuple[Answer | None, str]:  # fmt: skip
    """Return the answer about one view, or the code of the model's error.

    Raises:
        ModelError: The model cannot run on the first view; later failures are returned.
    """
    sequence = VisualSequence((view,), provenance=shown)
    try:
        answer = model.answer(sequence, question, max_new_tokens=preset.max_new_tokens)
    except ModelError as error:
        if is_first:
            raise
        return None, error.code
    return answer, ""


class ViewVerdict(NamedTuple):
    """Reading of an answer about one view.

    Attributes:
        status: ``"seen"``, or ``"failed"`` where nothing in it can be read.
        reason: ``"found"``, ``"nothing"`` or ``"unreadable"``.
        incomplete: The answer says, or its length shows, that it does not list all.
        cut_short: The answer reached the most tokens that it may have.
        unread: Beginning of an answer that cannot be read; empty for others.
    """

    status: Literal["seen", "failed"]
    reason: str
    incomplete: bool
    cut_short: bool
    unread: str = ""


def judged(
    answer: Answer, preset: SearchPreset, boxes: int, problems: Mapping[str, int]
) -> ViewVerdict:
    """Return what an answer comes to, given its well-formed boxes and its problems."""
    text = answer.text.lower()
    cut_short = answer.stopped == "length"
    incomplete = cut_short or any(phrase in text for phrase in preset.says_not_all)
    says_nothing = any(phrase in text for phrase in preset.says_nothing)
    if boxes:
        return ViewVerdict("seen", "found", incomplete, cut_short)
    if problems or not says_nothing:
        unread = answer.text.strip()[:_SHOWN_CHARACTERS]
        return ViewVerdict("failed", "unreadable", incomplete, cut_short, unread)
    return ViewVerdict("seen", "nothing", incomplete, cut_short)


def model_identity(model: object) -> dict[str, Any]:
    """Return what makes a model's answers its own, for the file that keeps a search."""
    made: Mapping[str, Any] = getattr(model, "provenance", {})
    return {key: made[key] for key in _MODEL_IDENTITY if key in made}


def sealed(made: Provenance, question: str, notices: Sequence[str], **facts: object) -> Provenance:
    """Return the provenance of a whole search from that of its answers.

    Args:
        made: What was recorded of the answers, later ones over earlier ones.
        question: What every view was asked.
        notices: Told before the first view.
        **facts: Of the whole search, such as ``views``, ``left_out`` and ``seconds``.
    """
    kept = {key: value for key, value in made.items() if key not in _PER_ANSWER}
    kept.setdefault("prompt_sha256", content_hash([question.encode()]))
    notices = [*notices, *kept.get("notices", ())]
    return Provenance(**{**kept, **facts, "notices": notices_for({**kept, "notices": notices})})
