import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.turns import rounds_of

ROUND = st.tuples(st.text(min_size=1).filter(str.strip), st.just("answer"))


@given(st.lists(ROUND, max_size=4), st.booleans(), st.booleans())
def test_whole_rounds_survive_and_loose_ends_are_counted(rounds, leading, trailing) -> None:
    turns = [("gpt", "Hello, ask me.")] if leading else []
    for question, answer in rounds:
        turns += [("human", question), ("gpt", answer)]
    turns += [("user", "One more?")] if trailing else []
    assert rounds_of(turns) == (tuple(rounds), leading + trailing)


def test_a_pair_with_an_empty_side_is_left_out() -> None:
    turns = [
        ("human", "a"),
        ("gpt", " "),
        ("human", ""),
        ("gpt", "b"),
        ("human", "c"),
        ("gpt", "d"),
    ]
    assert rounds_of(turns) == ((("c", "d"),), 4)


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (["human", "human"], "turn_order"),
        (["human", "gpt", "gpt"], "turn_order"),
        (["gpt", "gpt"], "turn_order"),
        (["system", "human", "gpt"], "unknown_role"),
        (["tool"], "unknown_role"),
    ],
)
def test_what_no_template_spells_is_refused(roles, reason) -> None:
    with pytest.raises(RowError, match=reason):
        rounds_of([(role, "text") for role in roles])


def test_tags_and_pictures_must_agree() -> None:
    with pytest.raises(RowError, match="tag_mismatch"):
        Sample("0", (("<image>?", "a"),))
    with pytest.raises(RowError, match="no_answer"):
        Sample("0", ())
