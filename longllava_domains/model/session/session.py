"""`Session`: a sequence of views seen once, and asked about many times."""

import time
from collections.abc import Callable, Sequence
from typing import Self

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked, require_questions
from longllava_domains.errors import SessionError
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.session.answers import build_answer
from longllava_domains.model.session.decoding import (
    MAX_NEW_TOKENS,
    TextStream,
    decode,
    require_length,
)
from longllava_domains.model.session.prefix_state import PrefixState
from longllava_domains.model.session.scoring import (
    encode_choices,
    first_logprobs,
    score_choices,
)
from longllava_domains.model.session.shown import Shown
from longllava_domains.prompt import Prompt, PromptProtocol, compose
from longllava_domains.prompt.protocol import check_text
from longllava_domains.vision_language import Cancelled, ChoiceScore, Monitor, Sampling
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
        preamble: Text in front of the views, in the first question's turn.
        prefix: The prompt up to its last view.
        memory: What remembers it.
        protocol: How views are spelled.

    Attributes:
        model: Whose session it is.
        history: (question, answer) rounds so far.
        protocol: How views are spelled.
    """

    def __init__(
        self,
        model: LoadedModel,
        sequence: VisualSequence | None,
        preamble: str,
        prefix: Prompt,
        memory: PrefixState,
        *,
        protocol: PromptProtocol = "reference",
        watch: Monitor | None = None,
    ) -> None:
        self.history: tuple[Round, ...] = ()
        self.model = model
        self.protocol = protocol
        self._shown = Shown(preamble, (sequence,), protocol)
        self._memory: PrefixState | None = memory
        views = () if sequence is None else sequence.views
        memory.prefill(model.processor.encode(prefix), views, watch or Monitor())

    def __repr__(self) -> str:
        views = 0 if self.sequence is None else len(self.sequence)
        state = "closed" if self._memory is None else f"{len(self.history)} questions asked"
        return f"Session({views} views, {state})"

    @property
    def sequence(self) -> VisualSequence | None:
        """All views shown so far, in order."""
        return self._shown.sequence

    @checked
    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        sampling: Sampling | None = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Cancelled | None = None,
        readout: AttentionReadout | None = None,
    ) -> Answer:
        """Ask, and keep question and answer as part of the conversation.

        Args:
            question: What is asked now; views stand before the question they were shown with.
            max_new_tokens: Longest answer, tokens.
            sampling: How tokens are drawn; None takes the most likely one each time.
            on_text: Called with each new piece of text as it is generated.
            cancelled: Asked between chunks and tokens; true stops.
            readout: Adds up where the tokens of the answer looked; from `new_readout`.

        Returns:
            The answer, one token at least.

        Raises:
            SessionError: The session is closed, its model unloaded, or the work was cancelled;
                the conversation is then as it was.
            PromptError: The question places views of its own, or is not Unicode text.
            PolicyError: A length that is none.
            MemoryBudgetError: Question and answer exceed the memory that is free; nothing was run.
            ModelError: The network gave something that is no number.
        """
        answer = self.answer_prompt(
            self.prompt(question),
            max_new_tokens=max_new_tokens,
            sampling=sampling,
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
        sampling: Sampling | None = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Cancelled | None = None,
        readout: AttentionReadout | None = None,
    ) -> Answer:
        """Answer a whole prompt that begins with this session's views; `ask` composes it.

        Raises:
            LongLlavaError: As of `ask`.
        """
        require_length(max_new_tokens)
        memory, model = self._open()
        began = time.perf_counter()
        ids = model.processor.encode(prompt)
        watch = Monitor(cancelled=cancelled)
        cache, hidden = memory.prefill_prompt(ids, watch, readout, max_new_tokens)
        stream = None if on_text is None else TextStream(model.processor.tokenizer, on_text)
        (decoded,) = decode(
            model.network,
            [cache],
            hidden,
            stop_id=model.processor.tokenizer.eos_id,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
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
            sampling=sampling,
            began=began,
        )

    @checked
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
            PromptError: No choices, one without tokens, or a text instead of a list of them.
            MemoryBudgetError: The question exceeds the memory that is free; nothing was run.
            ModelError: The network gave something that is no number.
        """
        memory, model = self._open()
        encoded = encode_choices(model.processor.tokenizer, choices)
        ids = model.processor.encode(self.prompt(question))
        longest = max(len(choice) for choice in encoded)
        watch = Monitor(cancelled=cancelled)
        cache, hidden = memory.prefill_prompt(ids, watch, readout, longest * len(encoded))
        cache.read_attention(None)
        rows = max(memory.steps.chunk_tokens // longest, 1)
        (first,) = first_logprobs(model.network, hidden)
        scored = score_choices(model.network, cache, first, encoded, rows)
        return tuple(map(ChoiceScore, choices, scored))

    def prompt(self, question: str) -> Prompt:
        """Return the prompt that asks a question after the conversation so far.

        Raises:
            PromptError: The question places views of its own, or is not Unicode.
            PolicyError: It is empty.
        """
        prompt = self._compose(self._shown, question)
        require_questions([question])
        return prompt

    def _compose(self, shown: Shown, question: str) -> Prompt:
        check_text([question])
        asked = [*(past for past, _ in self.history), question]
        turns = [lead + text for lead, text in zip(shown.leads(len(asked)), asked, strict=True)]
        answers = (answer for _, answer in self.history)
        history = list(zip(turns[:-1], answers, strict=True))
        return compose(shown.sequence, turns[-1], history, protocol=self.protocol)

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

        Before the first question they join the views there; later they stand before the next
        question, in a layout of their own.

        Args:
            more: Views; where they join others in one turn, of the same layout, and no grid.
            on_progress: Called with tokens done and in total.
            cancelled: Asked between chunks and layers; true stops.

        Raises:
            SessionError: The session is closed, or the work was cancelled; the session is then as
                it was.
            PolicyError: In one turn, the layouts do not match, or are grids.
            MemoryBudgetError: The views exceed the memory that is free; nothing was run.
        """
        memory, model = self._open()
        shown = self._shown.with_more(more, turn=len(self.history))
        prefix, _ = self._compose(shown, "").split()
        extended = memory.fork()
        views = () if shown.sequence is None else shown.sequence.views
        extended.prefill(model.processor.encode(prefix), views, Monitor(on_progress, cancelled))
        self._shown, self._memory = shown, extended

    def new_readout(self) -> AttentionReadout:
        """Return an empty readout for the views of this session, to pass to `ask` or `score`."""
        memory, _ = self._open()
        return AttentionReadout(memory.view_spans())

    @property
    def memory(self) -> PrefixState:
        """The memory of the session.

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
