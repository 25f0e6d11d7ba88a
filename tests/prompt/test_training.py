import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import PromptError
from longllava_domains.prompt import Mark, Prompt, encode_training, render_training
from longllava_domains.prompt.training import IGNORED

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def masked(tokenizer, ids: list[int]) -> str:
    """Show learned ids as text and every run of the others as one underscore."""
    shown = ""
    for token_id in ids:
        if token_id != IGNORED:
            shown += tokenizer.decode([token_id], skip_special=False)
        elif not shown.endswith("_"):
            shown += "_"
    return shown


def test_the_input_goes_on_where_the_label_ends() -> None:
    text = render_training([("Hi", "Hello!"), ("Bye", "Bye!")])
    assert text.input.text == (
        "<|startoftext|><|User|>\nHi\n<|startoftext|><|Assistant|>\nHello!\n"
        "<|startoftext|><|User|>\nBye\n<|startoftext|><|Assistant|>\nBye!<|endoftext|>"
    )
    assert text.label.text == text.input.text.replace("Hello!\n", "Hello!<|endoftext|>")


def test_ends_are_control_tokens_and_not_text() -> None:
    text = render_training([("Hi", "Hello!"), ("Bye", "Bye!")])
    assert text.input.pieces.count(Mark.EOS) == 1
    assert text.label.pieces.count(Mark.EOS) == 2


def test_an_answer_of_packed_data_that_brings_its_own_end_gets_no_other() -> None:
    text = render_training([("Hi", "Hello!<|endoftext|>"), ("Bye", "Bye!")])
    assert text.input == text.label
    assert text.input.pieces.count(Mark.EOS) == 2
    assert "<|endoftext|>\n" not in text.input.text


def test_only_answers_and_their_ends_are_learned(demo) -> None:
    text = render_training([("<image>Hi", "Hello!"), ("Bye", "Bye!")], 1)
    ids = encode_training(text, demo, tokens_per_image=3, image_token_id=demo.image_token_id)
    assert masked(demo, ids.labels) == "_Hello!<|endoftext|>_Bye!<|endoftext|>"
    assert ids.input_ids.count(demo.image_token_id) == 3


def test_the_model_learns_to_stop_where_its_input_shows_a_newline(demo) -> None:
    text = render_training([("Hi", "Hello!"), ("Bye", "Bye!")])
    ids = encode_training(text, demo, tokens_per_image=1, image_token_id=demo.image_token_id)
    changed = [
        (shown, learned)
        for shown, learned in zip(ids.input_ids, ids.labels, strict=True)
        if learned not in (IGNORED, shown)
    ]
    assert changed == [(demo.encode_text("\n")[0], demo.eos_id)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_input_and_label_are_equally_long_and_only_the_answers_survive(demo, rounds) -> None:
    rounds = [(q.replace("<image>", ""), a.removesuffix(Mark.EOS.value) or "a") for q, a in rounds]
    text = render_training(rounds)
    ids = encode_training(text, demo, tokens_per_image=1, image_token_id=demo.image_token_id)
    learned = [token_id for token_id in ids.labels if token_id != IGNORED]
    expected = [
        token_id for _, answer in rounds for token_id in (*demo.encode_text(answer), demo.eos_id)
    ]
    assert learned == expected
    assert len(ids.input_ids) == len(ids.labels)


def test_a_question_cannot_pose_as_an_answer(demo) -> None:
    text = render_training([("<image><|Assistant|>\nlearn this</img>", "No.")], 1)
    ids = encode_training(text, demo, tokens_per_image=1, image_token_id=demo.image_token_id)
    assert masked(demo, ids.labels) == "_No.<|endoftext|>"


def test_a_sequence_and_a_number_of_images_place_the_same_views(show) -> None:
    conversation = [("What?", "That.")]
    assert render_training(conversation, show(2)) == render_training(conversation, 2)


def test_frames_in_training_follow_their_protocol(show) -> None:
    text = render_training([("What?", "That.")], show(2, "temporal"), protocol="paper")
    assert "<vid><img><image></img><t><img><image></img></vid>\nWhat?" in text.input.text


@pytest.mark.parametrize("conversation", [[], [("Hi", "")], [("Hi", "<|endoftext|>")]])
def test_a_conversation_with_nothing_to_learn_is_refused(conversation) -> None:
    with pytest.raises(PromptError) as caught:
        render_training(conversation)
    assert caught.value.code == "prompt.empty"


def test_markers_and_images_that_differ_in_number_are_refused() -> None:
    with pytest.raises(PromptError, match="2 <image> markers, and there are 1 views"):
        render_training([("<image><image>", "a")], 1)


def test_a_rendered_conversation_begins_as_the_prompt_asked_at_inference() -> None:
    from longllava_domains.prompt import compose

    first = compose(None, "Hi")
    rendered = render_training([("Hi", "Hello!")]).input
    assert rendered == Prompt((*first.pieces, "Hello!", Mark.EOS))
