"""`answer_many`: questions to several sessions, decoded together."""

import time
from collections.abc import Callable, Sequence

import torch

from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError
from longllava_domains.model.loaded import LoadedModel
from longllava_domains.model.session.answers import build_answer
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import MAX_NEW_TOKENS, decode, require_length
from longllava_domains.model.session.session import Session
from longllava_domains.prompt import Prompt
from longllava_domains.vision_language import Monitor, Sampling


def answer_many(
    asks: Sequence[tuple[Session, str]],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    sampling: Sampling | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Answer, ...]:
    """Ask each session its question and decode all answers in one batch.

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


def _read(
    asks: Sequence[tuple[Session, str]],
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    cancelled: Callable[[], bool] | None,
) -> tuple[list[SessionCache], torch.Tensor]:
    """Return a cache for each prompt, and their last hidden states (prompts, hidden)."""
    caches, states = [], []
    for (session, _), prompt in zip(asks, prompts, strict=True):
        ids = session.model.processor.encode(prompt)
        cache, hidden = session.memory.prefill_prompt(
            ids, Monitor(cancelled=cancelled), answer_tokens=max_new_tokens * len(asks)
        )
        caches.append(cache)
        states.append(hidden)
    return caches, torch.cat(states)
