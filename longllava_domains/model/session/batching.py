"""`answer_many` and `score_many`: questions to several sessions, read and answered together."""

import time
from collections.abc import Callable, Sequence

import torch

from longllava_domains.answer import Answer
from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.session.answers import build_answer
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import MAX_NEW_TOKENS, decode, require_length
from longllava_domains.model.session.reading import Tail, read_tails
from longllava_domains.model.session.scoring import encode_choices, first_logprobs, score_choices
from longllava_domains.model.session.session import Session
from longllava_domains.prompt import Prompt
from longllava_domains.vision_language import ChoiceScore, Monitor, Sampling


@checked
def answer_many(
    asks: Sequence[tuple[Session, str]],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    sampling: Sampling | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Answer, ...]:
    """Ask each session its question, and decode all answers in one batch.

    Each answer equals that of `Session.ask`; the sessions may differ in length, and their
    conversations stay as they are.

    Args:
        asks: (session, question) pairs; a session may occur more than once.
        max_new_tokens: Longest answer, tokens.
        sampling: How tokens are drawn, as in `Session.ask`; each answer begins with the seed.
        cancelled: Asked between chunks and tokens; true stops.

    Returns:
        The answers, in order.

    Raises:
        PolicyError: The sessions belong to different models, or a length that is none.
        MemoryBudgetError: A question exceeds the memory that is free.
        SessionError: A session is closed, or the work was cancelled.
    """
    require_length(max_new_tokens)
    if not asks:
        return ()
    model = _one_model([session for session, _ in asks])
    began = time.perf_counter()
    prompts = [session.prompt(question) for session, question in asks]
    caches, hidden = _read(asks, prompts, max_new_tokens, cancelled)
    results = decode(
        model.network,
        caches,
        hidden,
        stop_id=model.processor.tokenizer.eos_id,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        cancelled=cancelled,
    )
    return tuple(
        build_answer(
            model,
            session.sequence,
            prompt,
            decoded,
            protocol=session.protocol,
            steps=session.memory.steps,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            began=began,
        )
        for (session, _), prompt, decoded in zip(asks, prompts, results, strict=True)
    )


def _one_model(sessions: Sequence[Session]) -> LoadedModel:
    models = {id(session.model): session.model for session in sessions}
    if len(models) > 1:
        raise PolicyError(
            f"The sessions belong to {len(models)} models.",
            remedy="Answer the sessions of one model at a time.",
            code="session.models",
        )
    (model,) = models.values()
    return model


@checked
def score_many(
    asks: Sequence[tuple[Session, str]],
    choices: Sequence[str],
    *,
    readouts: Sequence[AttentionReadout] = (),
    cancelled: Callable[[], bool] | None = None,
) -> list[tuple[ChoiceScore, ...]]:
    """Return, for each session and question, how likely each choice is as the answer.

    Each score equals that of `Session.score`, to the accuracy stated for each dtype. Questions that
    are equally long are read in one forward.

    Args:
        asks: (session, question) pairs; a session may occur more than once.
        choices: Possible answers, such as ``("Yes", "No")``.
        readouts: One for each pair, as in `Session.score`; none by default.
        cancelled: Asked between chunks; true stops.

    Raises:
        PolicyError: The sessions belong to different models.
        PromptError: No choices, one without tokens, or a text instead of a list of them.
        MemoryBudgetError: A question exceeds the memory that is free.
        SessionError: A session is closed, or the work was cancelled.
        ModelError: The network gave something that is no number.
    """
    if not asks:
        return []
    model = _one_model([session for session, _ in asks])
    encoded = encode_choices(model.processor.tokenizer, choices)
    longest = max(len(choice) for choice in encoded)
    prompts = [session.prompt(question) for session, question in asks]
    caches, hidden = _read(asks, prompts, longest * len(encoded), cancelled, readouts)
    scored = []
    firsts = first_logprobs(model.network, hidden)
    for (session, _), cache, first in zip(asks, caches, firsts, strict=True):
        rows = max(session.memory.steps.chunk_tokens // longest, 1)
        found = score_choices(model.network, cache, first, encoded, rows)
        scored.append(tuple(map(ChoiceScore, choices, found)))
    return scored


def _read(
    asks: Sequence[tuple[Session, str]],
    prompts: Sequence[Prompt],
    answer_tokens: int,
    cancelled: Callable[[], bool] | None,
    readouts: Sequence[AttentionReadout] = (),
) -> tuple[list[SessionCache], torch.Tensor]:
    """Return a cache for each prompt, and their last hidden states (prompts, hidden)."""
    watch = Monitor(cancelled=cancelled)
    network, tails = asks[0][0].model.network, []
    for (session, _), prompt in zip(asks, prompts, strict=True):
        ids = session.model.processor.encode(prompt)
        cache, rest = session.memory.unread(ids, answer_tokens * len(asks))
        tails.append(Tail(cache, rest, session.memory.steps))
    caches = [tail.cache for tail in tails]
    if not readouts:
        return caches, read_tails(network, tails, watch)
    parted = [tail.parted() for tail in tails]
    read_tails(network, [before for before, _ in parted if before.ids], watch)
    for cache, readout in zip(caches, readouts, strict=True):
        cache.read_attention(readout)
    hidden = read_tails(network, [last for _, last in parted], watch)
    for cache in caches:
        cache.read_attention(None)
    return caches, hidden
