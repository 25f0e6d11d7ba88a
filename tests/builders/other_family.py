"""A vision-language model of another family: no torch, no network, answers that say what it saw."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from longllava_domains.answer import Answer
from longllava_domains.errors import SessionError
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.vision_language import ChoiceScore, Monitor, ViewFormat
from longllava_domains.visual import VisualSequence


class UniformReadout:
    """Looks at every view alike."""

    def __init__(self, views: int) -> None:
        self.views = views

    @property
    def per_view(self) -> tuple[float, ...]:
        return (1 / self.views,) * self.views


class OtherSession:
    """A session that answers with the number of views and questions so far."""

    def __init__(self, model: "OtherModel", sequence: VisualSequence | None) -> None:
        self.model = model
        self.sequence = sequence
        self.asked: tuple[str, ...] = ()

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 256,
        sampling: Any = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        readout: Any = None,
    ) -> Answer:
        self.asked = (*self.asked, question)
        views = len(self.sequence or ())
        shown = Provenance() if self.sequence is None else self.sequence.provenance
        made = shown.with_(**self.model.provenance).with_(views=views)
        return Answer(f"{views} views, question {len(self.asked)}", (1,), "stop", (-0.1,), made)

    def score(
        self,
        question: str,
        choices: Sequence[str],
        *,
        cancelled: Callable[[], bool] | None = None,
        readout: Any = None,
    ) -> tuple[ChoiceScore, ...]:
        return tuple(ChoiceScore(choice, (-float(i + 1),)) for i, choice in enumerate(choices))

    def fork(self) -> "OtherSession":
        twin = OtherSession(self.model, self.sequence)
        twin.asked = self.asked
        return twin

    def extend(self, more: VisualSequence) -> None:
        raise SessionError("This family cannot.", remedy="Open a new session.")

    def new_readout(self) -> UniformReadout:
        return UniformReadout(len(self.sequence or ()))

    def close(self) -> None:
        self.asked = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OtherModel:
    """Takes views of 224 pixels, 49 tokens each."""

    provenance = Provenance(model="other", model_sha256="0" * 64, notices=[RESEARCH_NOTICE])
    view_format = ViewFormat(view_px=224, tokens_per_view=49, trained_tokens=8192)

    def open(
        self,
        sequence: VisualSequence | None,
        *,
        preamble: str = "",
        watch: Monitor | None = None,
    ) -> OtherSession:
        return OtherSession(self, sequence)

    def answer(
        self,
        sequence: VisualSequence | None,
        question: str,
        *,
        max_new_tokens: int = 256,
        sampling: Any = None,
    ) -> Answer:
        return self.open(sequence).ask(question, max_new_tokens=max_new_tokens)
