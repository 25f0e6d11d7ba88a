"""Pieces between marks are those of the regular expressions of the official scorer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.evaluate.fit_rsfg.complex.detection_tasks import described_class
from longllava_domains.evaluate.fit_rsfg.spans import between, first_between, groups

pieces = st.lists(
    st.sampled_from(["<", ">", "{", "}", "<rel>", "</rel>", "a", "s", "\n", " ", "(", ")"])
).map("".join)
marked = st.lists(
    st.sampled_from(["<ref>", "</ref>", "<rbox>(", ")</rbox>", "</ref><rbox>(", "a", "\n"])
).map("".join)
counted = st.lists(
    st.sampled_from(["There is ", "There are ", "1 ", "23 ", "ship", "s", " in the image", "\n"])
).map("".join)


@given(pieces)
def test_any_piece(text: str) -> None:
    for opening, closing in (("<", ">"), ("{", "}"), ("<rel>", "</rel>"), ("{<", ">}")):
        pattern = f"{re.escape(opening)}(.*?){re.escape(closing)}"
        assert list(between(text, opening, closing)) == re.findall(pattern, text)


@given(pieces)
def test_a_piece_of_one_character_or_more(text: str) -> None:
    assert list(between(text, "{", "}", least=1)) == re.findall(r"\{(.+?)\}", text)


@given(marked)
def test_two_neighbouring_pieces(text: str) -> None:
    found = list(groups(text, "<ref>", "</ref><rbox>(", ")</rbox>"))
    assert found == re.findall(r"<ref>(.*?)</ref><rbox>\((.*?)\)</rbox>", text)


@given(counted)
def test_the_class_that_a_sentence_counts(text: str) -> None:
    match = re.search(r"There (?:is|are) \d+ (.+?)s? in the image", text)
    found = described_class(text)
    assert (found is None) == (match is None)
    if match is not None and found is not None:
        assert found.rstrip("s") == match[1].rstrip("s")


def test_the_first_piece_or_a_default() -> None:
    assert first_between("a <b> <c>", "<", ">") == "b"
    assert first_between("nothing", "<", ">", default="none") == "none"


@pytest.mark.parametrize("text", ["{" * 300_000, "<ref>" * 60_000, "There is 1 " * 60_000])
def test_marks_that_never_close_are_looked_at_once(text: str) -> None:
    # A backtracking search takes minutes on these; the suite's own limit would stop it.
    assert not list(between(text, "{", "}"))
    assert not list(groups(text, "<ref>", "</ref><rbox>(", ")</rbox>"))
    assert described_class(text) is None
