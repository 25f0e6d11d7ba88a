"""`Session`: a sequence of views seen once, and asked about many times."""

import time
from collections.abc import Callable, Sequence
from typing import Self

from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError, SessionError
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.session.answers import build_answer
from longllava_domains.model.session.decoding import MAX_NEW_TOKENS, TextStream, decode
from longllava_domains.model.session.prefix_state import PrefixState
from longllava_domains.model.session.scoring import encode_choices, score_choices
from longllava_domains.prompt import Prompt, PromptProtocol, compose
from longllava_domains.prompt.layouts import Arrangement
from longllava_domains.vision_language import Cancelled, ChoiceScore, Monitor
from longllava_domains.visual import VisualSequence

Round = tuple[str, str]


class Session:
    """Views that a model has seen, and a conversation about them. Opened by `LongLlava.open`.

    The views are encoded and prefilled once. Each question continues from a copy of what is
    remembered, which costs nothing; the result is that of a prompt written whole. `ask` is a
    conversation: questions and answers so far are part of the next prompt. For independent
    questions use `score`, or `fork` before asking.

    Args:
        model: Whose session it is.
        sequence: What the model looks at; None for text alone.
        opening: What stands before the first question's own words: preamble and views.
        prefix: The prompt up to its last view.
        memory: What remembers it.
        protocol: How views are spelled.

    Attributes:
        model: Whose session it is.
        sequence: What the model looks at.
        history: (question, answer) rounds so far.
        protocol: How views are spelled.
    """

    def __init__(
        self,
        model: LoadedModel,
        sequence: VisualSequence | None,
        opening: str,
        prefix: Prompt,
        memory: PrefixState,
        *,
        protocol: PromptProtocol = "reference",
        watch: Monitor | None = None,
    ) -> None:
        self.sequence = sequence
        self.history: tuple[Round, ...] = ()
        self.model = model
        self._opening = opening
        self.protocol = protocol
        self._memory: PrefixState | None = memory
        views = () if sequence is None else sequence.views
        memory.prefill(model.processor.encode(prefix), views, watch or Monitor())

    def __repr__(self) -> str:
        views = 0 if self.sequence is None else len(self.sequence)
        state = "closed" if self._memory is None else f"{len(self.history)} questions asked"
        return f"Session({views} views, {state})"

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        on_text: Callable[[str], None] | None = None,
        cancelled: Cancelled | None = None,
        readout: AttentionReadout | None = None,
    ) -> Answer:
        """Ask, and keep question and answer as part of the conversation.

        Args:
            question: What is asked now; views stand before the first question.
            max_new_tokens: Longest answer, tokens.
            on_text: Called with each new piece of text as it is generated.
            cancelled: Asked between chunks and tokens; true stops.
            readout: Adds up where the tokens of the answer looked; from `new_readout`.

        Returns:
            The answer, decoded greedily.

        Raises:
            SessionError: The session is closed, its model unloaded, or the work was cancelled;
                the conversation is then as it was.
            PromptError: The question places views of its own, or is not Unicode.
        """
        answer = self.answer_prompt(
            self.prompt(question),
            max_new_tokens=max_new_tokens,
            on_text=on_text,
            cancelled=cancelled,
            readout=readout,
        )
        self.history = (*self.history, (question, answer.text))
        return answer

    def answer_prompt(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        on_text: Callable[[str], None] | None = None,
        cancelled: Cancelled | None = None,
        readout: AttentionReadout | None = None,
    ) -> Answer:
        """Answer a whole prompt that begins with this session's views; `ask` composes it.

        Raises:
            SessionError: The session is closed, its model unloaded, or the work was cancelled.
        """
        memory, model = self._open()
        began = time.perf_counter()
        ids = model.processor.encode(prompt)
        cache, hidden = memory.prefill_prompt(ids, Monitor(cancelled=cancelled), readout)
        stream = None if on_text is None else TextStream(model.processor.tokenizer, on_text)
        (decoded,) = decode(
            model.network,
            [cache],
            hidden,
            stop_id=model.processor.tokenizer.eos_id,
            max_new_tokens=max_new_tokens,
            on_token=stream,
            cancelled=cancelled,
        )
        cache.read_attention(None)
        if stream is not None:
            stream.finish()
        memory.commit(ids, decoded, cache)
        return build_answer(
            model,
            self.sequence,
            prompt,
            decoded,
            protocol=self.protocol,
            steps=memory.steps,
            max_new_tokens=max_new_tokens,
            began=began,
        )

    def score(
        self,
        question: str,
        choices: Sequence[str],
        *,
        cancelled: Cancelled | None = None,
        readout: AttentionReadout | None = None,
    ) -> tuple[ChoiceScore, ...]:
        """Return how likely each choice is as the answer; the conversation stays as it is.

        Args:
            question: What is asked, after the conversation so far.
            choices: Possible answers, such as ``("Yes", "No")``.
            cancelled: Asked between chunks; true stops.
            readout: Adds up where the last token of the question looked; from `new_readout`.

        Raises:
            SessionError: The session is closed, its model unloaded, or the work was cancelled.
            PromptError: No choices, or one without tokens.
        """
        memory, model = self._open()
        encoded = encode_choices(model.processor.tokenizer, choices)
        ids = model.processor.encode(self.prompt(question))
        cache, hidden = memory.prefill_prompt(ids, Monitor(cancelled=cancelled), readout)
        cache.read_attention(None)
        longest = max(len(choice) for choice in encoded)
        rows = max(memory.steps.chunk_tokens // longest, 1)
        scored = score_choices(model.network, cache, hidden, encoded, rows)
        return tuple(map(ChoiceScore, choices, scored))

    def prompt(self, question: str) -> Prompt:
        """Return the prompt that asks a question after the conversation so far.

        Raises:
            PromptError: The question places views of its own, or is not Unicode.
        """
        questions = [*(past for past, _ in self.history), question]
        questions[0] = self._opening + questions[0]
        history = [
            (past, answer) for past, (_, answer) in zip(questions[:-1], self.history, strict=True)
        ]
        return compose(self.sequence, questions[-1], history, protocol=self.protocol)

    def fork(self) -> "Session":
        """Return a session that stands where this one does and goes its own way, at no cost.

        Raises:
            SessionError: The session is closed or its model unloaded.
        """
        memory, _ = self._open()
        twin = object.__new__(Session)
        twin.__dict__.update(self.__dict__)
        twin._memory = memory.fork()
        return twin

    def extend(
        self,
        more: VisualSequence,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        cancelled: Cancelled | None = None,
    ) -> None:
        """Show more views, after those already seen; only the new ones are encoded.

        Args:
            more: Views of the same layout; a grid is whole and cannot be extended.
            on_progress: Called with tokens done and in total.
            cancelled: Asked between chunks; true stops.

        Raises:
            SessionError: The session is closed, a question was asked already, or the work was
                cancelled; the session is then as it was.
            PolicyError: The layouts do not match, or are grids.
        """
        memory, model = self._open()
        if self.history:
            raise SessionError(
                "Views cannot be added after a question was asked: they stand before it.",
                remedy="Fork the session before asking, and extend the fork.",
                code="session.extend",
            )
        before = self.sequence
        if before is None or before.layout != more.layout or before.layout == "grid":
            raise PolicyError(
                "Only separate images or frames can be extended, and by their own kind.",
                remedy="Open a new session for another layout.",
                code="session.layout",
            )
        views = (*before.views, *more.views)
        longer = VisualSequence(views, before.layout, provenance=before.provenance)
        preamble = self._opening.removesuffix(Arrangement.of(before, self.protocol).lead())
        opening = preamble + Arrangement.of(longer, self.protocol).lead()
        prefix, _ = compose(longer, opening, protocol=self.protocol).split()
        extended = memory.fork()
        extended.prefill(model.processor.encode(prefix), views, Monitor(on_progress, cancelled))
        self.sequence, self._opening, self._memory = longer, opening, extended

    def new_readout(self) -> AttentionReadout:
        """Return an empty readout for the views of this session, to pass to `ask` or `score`."""
        memory, _ = self._open()
        return AttentionReadout(memory.view_spans())

    @property
    def memory(self) -> PrefixState:
        """What the session remembers.

        Raises:
            SessionError: The session is closed or its model unloaded.
        """
        return self._open()[0]

    def close(self) -> None:
        """Forget everything; asking afterwards is an error. Forks stay open."""
        self._memory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> tuple[PrefixState, LoadedModel]:
        """Return memory and model, or raise `SessionError` where one of them is gone."""
        if self._memory is None:
            raise SessionError(
                "The session is closed.",
                remedy="Open a new one with model.open(sequence).",
                code="session.closed",
            )
        self.model.network  # noqa: B018 - raises where it was unloaded
        return self._memory, self.model
