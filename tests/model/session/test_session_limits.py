"""What stops a session, what it refuses, and that memory grows by keys and values alone."""

import threading
from typing import Any, Never

import pytest
import torch
from tiny_longllava import count_encoded, tiny_model, views

from longllava_domains.errors import MemoryBudgetError, PolicyError, PromptError, SessionError
from longllava_domains.model import answer_many
from longllava_domains.model.session.prefix_state import key_value_bytes_per_token
from longllava_domains.vision_language import Monitor
from longllava_domains.visual import VisualSequence

MODEL = tiny_model()
SEQUENCE = views(7)
QUESTION = "Is there a nodule?"
CHOICES = ("Yes", "No", "Maybe not")


def test_cancelling_leaves_the_session_as_it_was() -> None:
    session = MODEL.open(SEQUENCE, chunk_tokens=8)
    before = session.score(QUESTION, CHOICES)
    stop = threading.Event()
    steps = iter(range(6))

    def cancelled() -> bool:
        if next(steps, None) is None:
            stop.set()
        return stop.is_set()

    with pytest.raises(SessionError, match="Cancelled after"):
        session.ask(QUESTION, cancelled=cancelled)
    assert session.history == ()
    assert session.score(QUESTION, CHOICES) == before
    with pytest.raises(SessionError, match="Cancelled after"):
        MODEL.open(SEQUENCE, watch=Monitor(cancelled=lambda: True))
    with pytest.raises(SessionError, match="Cancelled after"):
        session.extend(views(2), cancelled=lambda: True)
    assert session.score(QUESTION, CHOICES) == before


def test_out_of_memory_halves_the_pace_and_resumes(monkeypatch) -> None:
    expected = MODEL.open(SEQUENCE).score(QUESTION, CHOICES)
    forward = MODEL.network.model.language_model.forward
    failures = iter([False, True, False, True, True])

    def sometimes_full(*args, **kwargs) -> Any:
        result = forward(*args, **kwargs)  # fail late: layers have gone on by then
        if next(failures, False):
            raise torch.OutOfMemoryError("no room")
        return result

    monkeypatch.setattr(MODEL.network.model.language_model, "forward", sometimes_full)
    batches = count_encoded(monkeypatch, MODEL)
    long = views(40)
    session = MODEL.open(VisualSequence((*SEQUENCE.views, *long.views)), chunk_tokens=256)
    monkeypatch.undo()
    session_expected = MODEL.open(VisualSequence((*SEQUENCE.views, *long.views)))
    answer = session.ask(QUESTION, max_new_tokens=4)
    assert answer.provenance["chunk_tokens"] == 32
    assert answer.provenance["view_batch"] == 1
    assert answer.provenance["out_of_memory_retries"] == 3
    assert answer.token_ids == session_expected.ask(QUESTION, max_new_tokens=4).token_ids
    assert sum(batches) == 47  # no view was encoded twice
    assert MODEL.open(SEQUENCE).score(QUESTION, CHOICES) == expected


def test_memory_that_never_suffices_is_an_error(monkeypatch) -> None:
    def full(*_args, **_kwargs) -> Never:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(MODEL.network.model.language_model, "forward", full)
    with pytest.raises(MemoryBudgetError, match="even with chunks of 32 tokens"):
        MODEL.open(SEQUENCE)


def test_keys_and_values_are_all_that_grows() -> None:
    per_token = key_value_bytes_per_token(MODEL.network)
    assert per_token == 2 * 2 * 2 * 8 * 4
    session = MODEL.open(SEQUENCE)
    tokens = len(session.memory._prefix_ids)
    assert session.memory._prefix.key_value_bytes() == tokens * per_token
    for layer in session.memory._prefix.layers[2::3]:
        assert layer._tail.keys.shape[2] == tokens  # allocated once, to the token


def test_closed_and_unloaded_sessions_say_so() -> None:
    model = tiny_model()
    with model.open(SEQUENCE) as session:
        fork = session.fork()
    with pytest.raises(SessionError, match="closed"):
        session.ask(QUESTION)
    fork.ask(QUESTION, max_new_tokens=1)
    model.unload()
    with pytest.raises(SessionError, match="unloaded"):
        fork.score(QUESTION, CHOICES)
    with pytest.raises(SessionError, match="unloaded"):
        model.open(SEQUENCE)
    fork.close()


@pytest.mark.parametrize("choices", [(), ("Yes", "")])
def test_choices_without_tokens_are_refused(choices) -> None:
    with pytest.raises(PromptError, match="Choices need a token each"):
        MODEL.open(SEQUENCE).score(QUESTION, choices)


@pytest.mark.parametrize("name", ["chunk_tokens", "view_batch"])
def test_a_pace_below_one_is_refused(name) -> None:
    with pytest.raises(PolicyError, match=f"{name} must be 1 at least; found 0"):
        MODEL.open(SEQUENCE, **{name: 0})


def test_a_sequence_beyond_the_memory_limit_is_refused_with_the_bytes_it_needs() -> None:
    tokens = len(MODEL.open(SEQUENCE).memory._prefix_ids)
    needed = tokens * key_value_bytes_per_token(MODEL.network)
    with pytest.raises(MemoryBudgetError) as refusal:
        MODEL.open(SEQUENCE, memory_limit_bytes=needed - 1)
    assert refusal.value.facts["bytes_needed"] == needed
    session = MODEL.open(SEQUENCE, memory_limit_bytes=needed)
    with pytest.raises(MemoryBudgetError):
        session.ask(QUESTION)


def test_views_that_are_added_keep_their_layout() -> None:
    session = MODEL.open(SEQUENCE)
    with pytest.raises(PolicyError, match="by their own kind"):
        session.extend(views(2, layout="temporal"))


def test_questions_cannot_place_views_of_their_own() -> None:
    with pytest.raises(PromptError):
        MODEL.open(SEQUENCE).ask("What is <image>?")


def test_sessions_of_two_models_are_not_mixed() -> None:
    other = tiny_model(seed=1)
    with pytest.raises(PolicyError, match="2 models"):
        answer_many([(MODEL.open(SEQUENCE), "a"), (other.open(SEQUENCE), "b")])
