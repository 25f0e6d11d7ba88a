"""What is sent, letter by letter. `said` strips the template that every prompt shares."""

import pytest

from longllava_domains.errors import PromptError
from longllava_domains.prompt import PROMPT_PROTOCOLS, Prompt, compose, compose_next

HEAD, TAIL = "<|startoftext|><|User|>\n", "\n<|startoftext|><|Assistant|>\n"
IMG = "<img><image></img>"


def said(prompt: Prompt) -> str:
    assert prompt.text.startswith(HEAD)
    assert prompt.text.endswith(TAIL)
    return prompt.text.removeprefix(HEAD).removesuffix(TAIL)


@pytest.mark.parametrize("protocol", PROMPT_PROTOCOLS)
def test_separate_images_lead_the_question_and_look_alike_in_every_protocol(show, protocol) -> None:
    assert said(compose(show(3), "Why?", protocol=protocol)) == f"{IMG}{IMG}{IMG}\nWhy?"


@pytest.mark.parametrize(
    ("layout", "grid", "count", "protocol", "expected"),
    [
        ("temporal", None, 2, "reference", "<vid><img><image></img><t><img><image></img</vid>Q"),
        ("temporal", None, 2, "repaired", f"<vid>{IMG}<t>{IMG}</vid>Q"),
        ("temporal", None, 2, "paper", f"<vid>{IMG}<t>{IMG}</vid>\nQ"),
        ("temporal", None, 1, "reference", "<vid><img><img><image></img></img</vid>Q"),
        ("temporal", None, 1, "repaired", f"<vid>{IMG}</vid>Q"),
        ("temporal", None, 1, "paper", f"<vid>{IMG}</vid>\nQ"),
        ("grid", (2, 2), 5, "reference", f"<img><image>\n{IMG}{IMG}\n{IMG}{IMG}</img>\nQ"),
        ("grid", (2, 2), 5, "repaired", f"{IMG}\n{IMG}{IMG}\n{IMG}{IMG}\nQ"),
        ("grid", (2, 2), 5, "paper", f"{IMG}\n{IMG}{IMG}\n{IMG}{IMG}\nQ"),
        ("grid", (1, 1), 2, "reference", f"<img><image>\n{IMG}</img>\nQ"),
    ],
)
def test_frames_and_tiles_are_spelled_as_their_protocol_says(
    show, layout, grid, count, protocol, expected
) -> None:
    assert said(compose(show(count, layout, grid), "Q", protocol=protocol)) == expected


def test_markers_place_separate_views_where_they_stand(show) -> None:
    prompt = compose(show(2), "<image>\nA cat. <image>\nA:")
    assert said(prompt) == f"{IMG}\nA cat. {IMG}\nA:"


def test_a_block_of_frames_stands_where_its_markers_stand_side_by_side(show) -> None:
    prompt = compose(show(2, "temporal"), "See <image><image> now.", protocol="repaired")
    assert said(prompt) == f"See <vid>{IMG}<t>{IMG}</vid> now."


def test_markers_of_one_block_that_stand_apart_are_refused(show) -> None:
    with pytest.raises(PromptError, match="apart"):
        compose(show(2, "temporal"), "<image> then <image>")


@pytest.mark.parametrize("layout", ["images", "temporal"])
@pytest.mark.parametrize("protocol", PROMPT_PROTOCOLS)
def test_tags_that_the_author_wrote_are_left_alone(show, layout, protocol) -> None:
    text = f"<vid>{IMG}<t>{IMG}</vid>\nIs there a lesion?"
    assert said(compose(show(2, layout), text, protocol=protocol)) == text


def test_a_tag_in_the_question_does_not_undress_views_that_we_placed(show) -> None:
    assert said(compose(show(1), "What does </img> mean?")) == f"{IMG}\nWhat does </img> mean?"


def test_markers_and_views_that_differ_in_number_are_refused_with_both_numbers(show) -> None:
    with pytest.raises(PromptError, match="1 <image> markers, and there are 3 views") as caught:
        compose(show(3), "<image> only")
    assert caught.value.facts == {"markers": 1, "views": 3}


def test_a_marker_without_anything_to_show_is_refused() -> None:
    with pytest.raises(PromptError, match="there are 0 views"):
        compose(None, "What is in <image>?")


def test_an_unknown_protocol_is_refused_even_without_views() -> None:
    with pytest.raises(PromptError, match="protocol"):
        compose(None, "Hello", protocol="llava")  # type: ignore[arg-type]


@pytest.mark.parametrize("history", [[], [("a\ud800", "b")], [("a", "b\udc00")]])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(history) -> None:
    with pytest.raises(PromptError, match="Unicode"):
        compose(None, "x" if history else "\udfff", history)


def test_views_lead_the_first_round_and_rounds_are_joined_by_a_newline(show) -> None:
    prompt = compose(show(1), "Now?", [("First?", "Yes."), ("Sure?", "No.")])
    assert prompt.text == (f"{HEAD}{IMG}\nFirst?{TAIL}Yes.\n{HEAD}Sure?{TAIL}No.\n{HEAD}Now?{TAIL}")


def test_markers_may_stand_in_any_round(show) -> None:
    prompt = compose(show(2), "And <image>?", [("See <image>.", "I do.")])
    assert prompt.text == f"{HEAD}See {IMG}.{TAIL}I do.\n{HEAD}And {IMG}?{TAIL}"


def test_an_answer_never_places_a_view(show) -> None:
    prompt = compose(show(1), "Next?", [("Which?", "<image>")])
    assert prompt.image_count == 1
    assert prompt.text.count("<image>") == 2


def test_asking_once_more_continues_exactly_like_a_prompt_written_whole(show) -> None:
    first = compose(show(2), "First?")
    whole = compose(show(2), "Second?", [("First?", "Yes.")])
    assert Prompt((*first.pieces, "Yes.", *compose_next("Second?").pieces)) == whole


def test_a_next_question_cannot_place_a_view() -> None:
    with pytest.raises(PromptError, match="0 views"):
        compose_next("And <image>?")


def test_what_a_session_prefills_depends_on_the_views_and_not_on_the_question(show) -> None:
    for layout, grid in (("images", None), ("temporal", None), ("grid", (2, 1))):
        sequence = show(3, layout, grid)
        one, other = compose(sequence, "One?").split(), compose(sequence, "Another?").split()
        assert one[0] == other[0]
        assert one[0].image_count == 3


def test_a_thousand_views_and_a_long_question_are_sent_whole(show) -> None:
    question = "word " * 50_000
    prompt = compose(show(1000), question)
    assert prompt.image_count == 1000
    assert question in prompt.text
