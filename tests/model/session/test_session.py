"""A session gives what a prompt written whole gives, and costs what it must and no more."""

from itertools import permutations
from typing import Any

import pytest
import torch
from tiny_longllava import count_encoded, tiny_model, views

from longllava_domains.model import answer_many, score_many
from longllava_domains.prompt import PROMPT_PROTOCOLS, compose
from longllava_domains.vision_language import ChoiceScore, Monitor
from longllava_domains.visual import VisualSequence

MODEL = tiny_model()
SEQUENCE = views(7)
QUESTION = "Is there a nodule?"
CHOICES = ("Yes", "No", "Maybe not")


@torch.no_grad()
def logits_of_a_whole_prompt(question: str, answer: str = "", history=()) -> torch.Tensor:
    """Log-probabilities from one forward of transformers' own call, no session involved."""
    prompt = compose(SEQUENCE, question, history)
    ids = [*MODEL.processor.encode(prompt), *MODEL.processor.tokenizer.encode_text(answer)]
    pixels = MODEL.processor(SEQUENCE, question).pixel_values
    inputs = torch.tensor([ids])
    return MODEL.network(input_ids=inputs, pixel_values=pixels).logits[0].log_softmax(-1)


def generated_from_a_whole_prompt(question: str, new_tokens: int, history=()) -> list[int]:
    inputs = MODEL.processor(SEQUENCE, question, history)
    tokens = MODEL.network.generate(
        input_ids=inputs.input_ids,
        pixel_values=inputs.pixel_values,
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=2,
        pad_token_id=0,
    )
    return tokens[0, inputs.input_ids.shape[1] :].tolist()


@pytest.mark.parametrize("chunk_tokens", [1, 2, 7, 64, 4096])
@pytest.mark.parametrize("view_batch", [1, 3])
def test_any_pace_gives_the_answer_of_a_whole_prompt(chunk_tokens, view_batch) -> None:
    session = MODEL.open(SEQUENCE, chunk_tokens=chunk_tokens, view_batch=view_batch)
    answer = session.ask(QUESTION, max_new_tokens=8)
    assert list(answer.token_ids) == generated_from_a_whole_prompt(QUESTION, 8)
    assert answer.provenance["chunk_tokens"] == chunk_tokens
    assert answer.provenance["view_batch"] == view_batch
    assert answer.provenance["kernels"]["scan"]["chosen"] == "blocked"


def test_choices_have_the_log_probabilities_of_whole_prompts() -> None:
    for score in MODEL.open(SEQUENCE).score(QUESTION, CHOICES):
        ids = MODEL.processor.tokenizer.encode_text(score.text)
        whole = logits_of_a_whole_prompt(QUESTION, score.text)[-len(ids) - 1 : -1]
        expected = [float(row[token]) for row, token in zip(whole, ids, strict=True)]
        assert score.token_logprobs == pytest.approx(expected, abs=1e-4)
        assert score.mean_logprob == pytest.approx(score.sum_logprob / len(ids))


def test_choices_scored_in_small_groups_are_the_same() -> None:
    many = MODEL.open(SEQUENCE, chunk_tokens=5).score(QUESTION, CHOICES)
    for ours, expected in zip(many, MODEL.open(SEQUENCE).score(QUESTION, CHOICES), strict=True):
        assert ours.token_logprobs == pytest.approx(expected.token_logprobs, abs=2e-5)


def test_a_conversation_is_the_prompt_that_the_template_writes() -> None:
    session = MODEL.open(SEQUENCE)
    first = session.ask(QUESTION, max_new_tokens=6)
    second = session.ask("And where?", max_new_tokens=6)
    history = [(QUESTION, first.text)]
    assert list(second.token_ids) == generated_from_a_whole_prompt("And where?", 6, history)
    assert session.history == ((QUESTION, first.text), ("And where?", second.text))
    whole = MODEL.answer(SEQUENCE, "And where?", history=history, max_new_tokens=6)
    assert whole.token_ids == second.token_ids
    assert whole.provenance["prompt_sha256"] == second.provenance["prompt_sha256"]


def test_scoring_leaves_the_conversation_alone() -> None:
    session = MODEL.open(SEQUENCE)
    before = session.score(QUESTION, CHOICES)
    assert session.history == ()
    assert session.score(QUESTION, CHOICES) == before


@pytest.fixture(scope="module")
def answers_alone() -> dict[str, tuple]:
    """What each fork must say: a session of its own that was asked the same things."""
    answers = {}
    for name in "abc":
        alone = MODEL.open(SEQUENCE)
        alone.ask(QUESTION, max_new_tokens=3)
        asked = (f"Question {name}?", "Sure?")
        answers[name] = tuple(alone.ask(question, max_new_tokens=4) for question in asked)
    return answers


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_forks_in_any_order_do_not_disturb_each_other(order, answers_alone) -> None:
    trunk = MODEL.open(SEQUENCE)
    trunk.ask(QUESTION, max_new_tokens=3)
    forks = {name: trunk.fork() for name in order}
    first = {name: forks[name].ask(f"Question {name}?", max_new_tokens=4) for name in order}
    trunk.ask("Something else?", max_new_tokens=4)
    second = {name: forks[name].ask("Sure?", max_new_tokens=4) for name in reversed(order)}
    for name, expected in answers_alone.items():
        for found, alone in zip((first[name], second[name]), expected, strict=True):
            assert found.token_ids == alone.token_ids
            assert found.token_logprobs == pytest.approx(alone.token_logprobs, abs=2e-5)


def test_forking_copies_nothing() -> None:
    session = MODEL.open(SEQUENCE)
    pieces = session.memory._prefix.layers[2].pieces()
    shared = session.fork().memory._prefix.fork().layers[2].pieces()
    assert [piece.keys.data_ptr() for piece in shared] == [p.keys.data_ptr() for p in pieces]


@pytest.mark.parametrize("layout", ["images", "temporal"])
@pytest.mark.parametrize("first", [1, 4])
def test_views_shown_later_equal_views_shown_at_once(layout, first) -> None:
    whole = views(7, layout=layout)
    session = MODEL.open(VisualSequence(whole.views[:first], layout), preamble="A chest CT.\n")
    session.extend(VisualSequence(whole.views[first:], layout))
    expected = MODEL.open(whole, preamble="A chest CT.\n")
    ours, theirs = (one.score(QUESTION, CHOICES) for one in (session, expected))
    for score, other in zip(ours, theirs, strict=True):
        assert score.token_logprobs == pytest.approx(other.token_logprobs, abs=2e-5)
    assert session.ask(QUESTION, max_new_tokens=2).provenance["views"] == 7


def test_extending_encodes_only_the_new_views(monkeypatch) -> None:
    session = MODEL.open(SEQUENCE, view_batch=2)
    batches = count_encoded(monkeypatch, MODEL)
    session.extend(views(3, seed=1))
    assert batches == [2, 1]


@pytest.mark.parametrize("protocol", PROMPT_PROTOCOLS)
@pytest.mark.parametrize("layout", ["images", "temporal", "grid"])
def test_every_layout_and_protocol_is_spelled_as_in_a_whole_prompt(layout, protocol) -> None:
    shown = views(3, layout="images").views
    sequence = VisualSequence(shown, layout, grid=(1, 2) if layout == "grid" else None)
    session = MODEL.open(sequence, protocol=protocol)
    assert session.prompt(QUESTION) == compose(sequence, QUESTION, protocol=protocol)
    answer = session.ask(QUESTION, max_new_tokens=3)
    whole = MODEL.answer(sequence, QUESTION, protocol=protocol, max_new_tokens=3)
    assert answer.token_ids == whole.token_ids


def test_a_preamble_stands_before_the_views() -> None:
    session = MODEL.open(SEQUENCE, preamble="A chest CT.\n")
    text = session.prompt(QUESTION).text
    assert text.index("A chest CT.") < text.index("<image>") < text.index(QUESTION)


def test_views_are_encoded_while_the_prompt_is_read(monkeypatch) -> None:
    batches = count_encoded(monkeypatch, MODEL)
    seen = []
    MODEL.open(
        SEQUENCE,
        chunk_tokens=20,
        view_batch=2,
        watch=Monitor(on_progress=lambda done, total: seen.append((done, total, sum(batches)))),
    )
    assert sum(batches) == 7
    assert max(batches) == 2
    done, total, _ = seen[-1]
    assert done == total
    # At no point are more views encoded than the tokens read so far need, and one batch.
    assert all(encoded <= done // 7 + 3 for done, _, encoded in seen)


def test_answers_of_many_sessions_equal_single_ones() -> None:
    sessions = [MODEL.open(views(count, seed=count)) for count in (1, 5, 3)]
    sessions[1].ask("First?", max_new_tokens=3)
    asks = [(session, f"Question {number}?") for number, session in enumerate(sessions)]
    asks.append((sessions[0], "Another one?"))
    together = answer_many(asks, max_new_tokens=9)
    for (session, question), answer in zip(asks, together, strict=True):
        alone = session.fork().ask(question, max_new_tokens=9)
        assert answer.token_ids == alone.token_ids
        assert answer.stopped == alone.stopped
        assert answer.token_logprobs == pytest.approx(alone.token_logprobs, abs=2e-5)
    assert answer_many([]) == ()


@pytest.mark.parametrize("choices", [("Yes", "No"), CHOICES])
def test_scores_of_many_sessions_equal_single_ones_and_say_where_each_looked(choices) -> None:
    sessions = [MODEL.open(views(count, seed=count), chunk_tokens=64) for count in (1, 5, 3)]
    asks = [(session, QUESTION) for session in sessions]  # equally long: read together
    asks += [(sessions[1], "Another one?"), (sessions[2], QUESTION)]
    readouts = [session.new_readout() for session, _ in asks]
    together = score_many(asks, choices, readouts=readouts)
    for (session, question), scores, readout in zip(asks, together, readouts, strict=True):
        looked = session.new_readout()
        alone = session.score(question, choices, readout=looked)
        assert [score.text for score in scores] == list(choices)
        for ours, single in zip(scores, alone, strict=True):
            assert ours.token_logprobs == pytest.approx(single.token_logprobs, abs=2e-5)
        assert readout.per_view == pytest.approx(looked.per_view, abs=1e-5)
    assert score_many([], choices) == []


def test_questions_that_are_equally_long_take_one_forward(monkeypatch) -> None:
    sessions = [MODEL.open(views(count, seed=count)) for count in (1, 5, 3)]
    rows = []
    language_model = MODEL.network.model.language_model
    forward = language_model.forward

    def counted(*arguments, **named) -> Any:
        rows.append(named["inputs_embeds"].shape[0])
        return forward(*arguments, **named)

    monkeypatch.setattr(language_model, "forward", counted)
    score_many([(session, QUESTION) for session in sessions], ("Yes",))
    assert rows == [3, 1, 1, 1]  # the questions, then what "Yes" goes on with


def test_questions_are_read_one_by_one_where_memory_runs_out(monkeypatch) -> None:
    sessions = [MODEL.open(views(count, seed=count)) for count in (1, 5, 3)]
    alone = [session.score(QUESTION, ("Yes",)) for session in sessions]
    language_model = MODEL.network.model.language_model
    forward = language_model.forward

    def small(*arguments, **named) -> Any:
        if named["inputs_embeds"].shape[0] > 1:
            forward(*arguments, **named)  # some layers have gone on when memory runs out
            raise torch.OutOfMemoryError
        return forward(*arguments, **named)

    monkeypatch.setattr(language_model, "forward", small)
    asks = [(session, QUESTION) for session in sessions]
    for (single,), (after,) in zip(alone, score_many(asks, ("Yes",)), strict=True):
        assert after.token_logprobs == pytest.approx(single.token_logprobs, abs=2e-5)


def test_answers_may_end_at_different_steps(monkeypatch) -> None:
    sessions = [MODEL.open(views(count, seed=count)) for count in (2, 4)]
    alone = [session.fork().ask(QUESTION, max_new_tokens=9) for session in sessions]
    # Let a token that only the first answer holds end an answer.
    ending = next(t for t in alone[0].token_ids[1:] if t not in alone[1].token_ids)
    monkeypatch.setattr(MODEL.processor.tokenizer, "eos_id", ending)
    first, second = answer_many([(session, QUESTION) for session in sessions], max_new_tokens=9)
    assert first.stopped == "end"
    assert first.token_ids == alone[0].token_ids[: alone[0].token_ids.index(ending)]
    assert second.token_ids == alone[1].token_ids


def test_text_arrives_as_it_is_generated() -> None:
    pieces: list[str] = []
    answer = MODEL.open(SEQUENCE).ask(QUESTION, max_new_tokens=8, on_text=pieces.append)
    assert "".join(pieces).strip() == answer.text
    assert len(pieces) > 1


def test_where_the_answer_looked_is_what_eager_attention_says() -> None:
    session = MODEL.open(SEQUENCE)
    readout = session.new_readout()
    session.score(QUESTION, CHOICES, readout=readout)
    inputs = MODEL.processor(SEQUENCE, QUESTION)
    eager = tiny_model().network
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = eager(
            input_ids=inputs.input_ids, pixel_values=inputs.pixel_values, output_attentions=True
        ).attentions
    last = torch.stack([layer[0, :, -1].mean(0) for layer in attentions]).mean(0)
    shown = inputs.input_ids[0] == MODEL.network.config.image_token_id
    assert readout.per_view == pytest.approx(last[shown].view(7, 4).sum(1).tolist(), abs=1e-5)


def test_a_readout_of_an_answer_covers_its_tokens() -> None:
    session = MODEL.open(SEQUENCE)
    readout = session.new_readout()
    answer = session.ask(QUESTION, max_new_tokens=5, readout=readout)
    assert len(readout.per_view) == 7
    assert 0 < sum(readout.per_view) < 1
    assert answer.token_ids == MODEL.open(SEQUENCE).ask(QUESTION, max_new_tokens=5).token_ids


def test_a_session_about_text_alone() -> None:
    session = MODEL.open(None)
    assert session.ask("Hello", max_new_tokens=3).provenance["views"] == 0


def test_a_score_knows_sum_and_mean() -> None:
    score = ChoiceScore("Yes", (-1.0, -3.0))
    assert (score.sum_logprob, score.mean_logprob) == (-4.0, -2.0)
