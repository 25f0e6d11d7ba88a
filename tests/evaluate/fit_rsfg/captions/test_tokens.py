"""Our own words of a caption are those of the official tokenizer, on plain English."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.evaluate.fit_rsfg.captions.tokens import plain_tokens
from longllava_domains.evaluate.text_overlap.coco_java import absent_tool, ptb_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (
            "It is within safe distance of 1 goods_yard.",
            "it is within safe distance of 1 goods_yard",
        ),
        ("On the top-left, co-storage with 2 tanks!", "on the top-left co-storage with 2 tanks"),
        ("1,000 ships (3.5 m) at 10:30; -5", "1,000 ships -lrb- 3.5 m -rrb- at 10:30 -5"),
        ("It's the ship's; they don't, they cannot", "it 's the ship 's they do n't they can not"),
        ("U.S. base, Mr. Smith's car/truck & 20%", "u.s. base mr. smith 's car/truck & 20 %"),
        ("\u201cquoted\u201d \u2014 dash...", "quoted dash"),
        ("<rel>over</rel> {<1.00>}", "<rel> over </rel> -lcb- < 1.00 > -rcb-"),
        ("", ""),
    ],
)
def test_plain_words_are_those_of_the_official_tokenizer(text: str, tokens: str) -> None:
    # Each line was put through PTBTokenizer 3.4.1 when it was written down.
    assert plain_tokens(text) == tokens.split()
    if absent_tool() is None:
        assert ptb_tokens([text]) == [tokens]


@given(st.text(alphabet="abs1.,-'()[] n\tt", max_size=30))
def test_words_that_were_found_are_found_again(text: str) -> None:
    tokens = plain_tokens(text)
    assert plain_tokens(" ".join(tokens)) == tokens


@pytest.mark.parametrize("text", ["a-" * 200_000, "1," * 200_000, "'" * 400_000, " -1" * 150_000])
def test_a_huge_caption_is_read_in_one_pass(text: str) -> None:
    assert sum(map(len, plain_tokens(text))) <= len(text)
