"""Views in a later turn, sampling, the length of answers, and memory asked at every entrance."""

import threading

import numpy as np
import pytest
import torch
from tiny_longllava import count_encoded, tiny_model, views

from longllava_domains.errors import (
    MemoryBudgetError,
    ModelError,
    PolicyError,
    SessionError,
)
from longllava_domains.model import Sampling, answer_many
from longllava_domains.model.budget import fit
from longllava_domains.model.session.prefill import StepSizes, prefill
from longllava_domains.model.session.sampling import Chooser
from longllava_domains.vision_language import Monitor
from longllava_domains.visual import VisualSequence

MODEL = tiny_model()
CHOICES = ("Yes", "No", "Maybe not")


def logprobs(session) -> torch.Tensor:
    return torch.tensor([score.sum_logprob for score in session.score("Now?", CHOICES)])


@pytest.mark.parametrize(
    ("layout", "later"),
    [("images", "images"), ("temporal", "temporal"), ("grid", "images"), ("images", "temporal")],
)
@pytest.mark.parametrize("protocol", ["reference", "repaired"])
def test_views_of_a_later_turn_stand_before_its_question(
    layout, later, protocol, monkeypatch
) -> None:
    shown = views(3).views
    first = VisualSequence(shown, layout, (1, 2) if layout == "grid" else None)
    second = views(2, seed=1, layout=later)
    session = MODEL.open(first, protocol=protocol)
    answer = session.ask("What is shown?", max_new_tokens=4)
    batches = count_encoded(monkeypatch, MODEL)
    session.extend(second)
    assert sum(batches) == 2  # only the new ones
    assert len(session.sequence) == 5
    prompt = session.prompt("And now?")
    assert prompt.image_count == 5
    before, after = prompt.text.split("What is shown?")
    assert before.count("<image>") == 3
    assert after.split("And now?")[0].count("<image>") == 2

    cache = MODEL.open(None).memory._nothing()
    ids = MODEL.processor.encode(prompt)
    shown = (*first.views, *second.views)
    hidden = prefill(MODEL.network, cache, ids, shown, StepSizes(), Monitor())
    expected = MODEL.network.lm_head(hidden).detach().log_softmax(-1)[0]
    found = session.ask("And now?", max_new_tokens=1)
    assert found.token_logprobs[0] == pytest.approx(float(expected[found.token_ids[0]]), abs=2e-5)
    assert answer.text == session.history[0][1]
    assert len(session.new_readout().per_view) == 5


def test_views_may_be_added_twice_before_a_question_and_to_text_alone() -> None:
    session = MODEL.open(None)
    session.ask("Hello", max_new_tokens=2)
    session.extend(views(1))
    session.extend(views(2, seed=1))
    assert session.prompt("What?").text.count("<img><image></img>") == 3
    assert len(session.sequence) == 3
    twin = session.fork()
    twin.ask("What?", max_new_tokens=2)
    assert len(session.history) == 1


def test_an_extension_that_is_cancelled_leaves_the_conversation_as_it_was() -> None:
    session = MODEL.open(views(3))
    session.ask("What?", max_new_tokens=2)
    before = logprobs(session)
    with pytest.raises(SessionError, match="Cancelled"):
        session.extend(views(2, seed=1), cancelled=lambda: True)
    assert len(session.sequence) == 3
    torch.testing.assert_close(logprobs(session), before, rtol=0, atol=0)


def test_the_same_seed_gives_the_same_answer_also_beside_others() -> None:
    warm = Sampling(temperature=3.0, seed=7)
    sessions = [MODEL.open(views(2)), MODEL.open(views(4))]
    alone = [session.fork().ask("What?", max_new_tokens=8, sampling=warm) for session in sessions]
    again = sessions[0].fork().ask("What?", max_new_tokens=8, sampling=warm)
    together = answer_many([(s, "What?") for s in sessions], max_new_tokens=8, sampling=warm)
    assert again.token_ids == alone[0].token_ids
    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    others = {
        sessions[0].fork().ask("What?", max_new_tokens=8, sampling=Sampling(3.0, seed=s)).token_ids
        for s in range(4)
    }
    assert len(others) > 1
    assert alone[0].provenance["sampling"]["seed"] == 7


def test_greedy_stays_the_default_and_what_sampling_tends_to() -> None:
    session = MODEL.open(views(2))
    greedy = session.fork().ask("What?", max_new_tokens=8)
    assert greedy.provenance["sampling"] == "greedy"
    for tends in (Sampling(temperature=0), Sampling(top_p=1e-9), Sampling(temperature=1e-6)):
        assert session.fork().ask("What?", max_new_tokens=8, sampling=tends).token_ids == (
            greedy.token_ids
        )


def test_repetition_is_controlled() -> None:
    session = MODEL.open(None)
    control = Sampling(temperature=0, repetition_penalty=1e6)
    said = session.ask("What?", max_new_tokens=30, sampling=control).token_ids
    assert len(said) > 5
    assert len(set(said)) == len(said)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    for top_p, expected in ((1.0, [0.5, 0.3, 0.15, 0.05]), (0.6, [0.625, 0.375, 0, 0])):
        chooser = Chooser(Sampling(top_p=top_p), stop_id=-1)
        drawn = np.bincount([chooser.choose(logits, [9]) for _ in range(4000)], minlength=4)
        np.testing.assert_allclose(drawn / 4000, expected, atol=0.03)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"repetition_penalty": 0}, {"seed": -1},
     {"seed": 1.5}, {"temperature": float("nan")}],
)  # fmt: skip
def test_sampling_out_of_range_is_refused(wrong) -> None:
    with pytest.raises(PolicyError, match=next(iter(wrong))):
        Sampling(**wrong)


@pytest.mark.parametrize("length", [None, -1, 2.0, "5", True])
def test_a_length_that_is_none_is_refused_before_anything_runs(length, monkeypatch) -> None:
    session = MODEL.open(views(2))
    batches = count_encoded(monkeypatch, MODEL)
    for ask in (
        lambda: session.ask("What?", max_new_tokens=length),
        lambda: MODEL.answer(views(2), "What?", max_new_tokens=length),
        lambda: answer_many([(session, "What?")], max_new_tokens=length),
    ):
        with pytest.raises(
            PolicyError, match=r"An answer cannot have|The argument max_new_tokens is"
        ):
            ask()
    assert batches == []


@pytest.mark.parametrize("choices", ["Yes", b"Yes", ["Yes", 1], [None]])
def test_choices_are_a_list_of_texts(choices) -> None:
    with pytest.raises(PolicyError, match="The argument choices is"):
        MODEL.open(None).score("Is it?", choices)


@pytest.mark.parametrize("question", [b"What?", None, 3])
def test_a_question_is_text(question) -> None:
    with pytest.raises(PolicyError, match="The argument question is"):
        MODEL.open(views(1)).ask(question)
    with pytest.raises(PolicyError, match="The argument question is"):
        MODEL.answer(None, question)


def test_an_answer_has_one_token_at_least_as_in_the_original() -> None:
    model = tiny_model()
    stop = model.processor.tokenizer.eos_id
    hook = model.network.lm_head.register_forward_hook(
        lambda _, __, logits: logits.index_fill(-1, torch.tensor([stop]), 1e4)
    )
    session = model.open(None)
    alone, *_ = answers = [session.ask("Hello"), *answer_many([(model.open(None), "Hello")] * 2)]
    hook.remove()
    assert all(len(answer.token_ids) == 1 and answer.stopped == "end" for answer in answers)
    assert alone.token_logprobs[0] < -100  # said of the network, not of the rule


def test_numbers_that_are_none_are_no_empty_answer() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.network.lm_head.weight[5] = torch.nan
    session = model.open(None)
    for act in (
        lambda: session.ask("Hello", max_new_tokens=2),
        lambda: session.score("Hello", CHOICES),
        lambda: answer_many([(session, "Hello")], max_new_tokens=2),
    ):
        with pytest.raises(ModelError, match="not a number"):
            act()


def test_memory_is_asked_at_every_entrance(monkeypatch) -> None:
    session = MODEL.open(views(2))
    asked = session.fork()
    asked.ask("What?", max_new_tokens=2)
    batches = count_encoded(monkeypatch, MODEL)
    monkeypatch.setattr(fit, "free_bytes", lambda _: 3_000_000)
    session.fork().ask("What?", max_new_tokens=2)  # fits
    long = "word " * 20_000
    for act in (
        lambda: session.extend(views(2000, seed=1)),
        lambda: asked.extend(views(2000, seed=1)),
        lambda: session.ask(long),
        lambda: session.ask("What?", max_new_tokens=100_000),
        lambda: session.score(long, CHOICES),
        lambda: answer_many([(session, "What?")] * 40, max_new_tokens=2_000),
        lambda: MODEL.open(None).ask(long),
        lambda: MODEL.answer(None, long),
        lambda: MODEL.open(None, preamble=long).ask("What?"),
    ):
        with pytest.raises(MemoryBudgetError) as refusal:
            act()
        assert refusal.value.facts["needed_bytes"] > refusal.value.facts["available_bytes"]
    assert batches == []


def test_layers_give_signs_of_life_within_a_chunk() -> None:
    seen = []
    MODEL.open(views(3), watch=Monitor(on_progress=lambda done, total: seen.append((done, total))))
    total = seen[-1][1]
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len({done for done, _ in seen}) >= len(MODEL.network.model.language_model.layers)


def test_one_threads_cancelling_does_not_stop_another() -> None:
    running, stopped = threading.Event(), threading.Event()
    errors = []

    asked = iter(range(1))

    def cancelled() -> bool:
        if next(asked, None) is not None:
            return False  # before the chunk; the next time is within it
        if threading.current_thread() is not thread:
            raise AssertionError("asked by another thread")
        running.set()
        stopped.wait(20)  # hold this thread between layers while the other one works
        return True

    def work() -> None:
        try:
            MODEL.open(views(2), watch=Monitor(cancelled=cancelled))
        except SessionError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(20)
    answer = MODEL.answer(views(2), "What?", max_new_tokens=3)
    stopped.set()
    thread.join()
    assert len(answer.token_ids) == 3
    assert [error.code for error in errors] == ["session.cancelled"]


def test_work_stops_within_a_chunk_and_can_be_resumed() -> None:
    session = MODEL.open(views(2))
    before = logprobs(session)
    calls = iter(range(5))
    with pytest.raises(SessionError, match="Cancelled"):
        session.ask("word " * 100, cancelled=lambda: next(calls, None) is None)
    torch.testing.assert_close(logprobs(session), before, rtol=0, atol=0)
