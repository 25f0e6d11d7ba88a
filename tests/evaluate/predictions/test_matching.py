"""Predictions meet their references by id; what is odd is counted, named or refused."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.errors import AmbiguousInputError, InputError, PolicyError
from longllava_domains.evaluate.predictions import Matching, Pairing, pair_texts

REFERENCES = [
    {"qid": 3, "question": "Is it axial?", "answer": "yes"},
    {"qid": 5, "question": "Where is the mass?", "answer": "left lung"},
    {"qid": 9, "question": "How many ribs?", "answer": 10},
]


def predictions(**by_id: Any) -> list[dict[str, Any]]:
    return [{"question_id": name.removeprefix("q"), "text": text} for name, text in by_id.items()]


def answers(pairing: Pairing) -> list[tuple[str | None, str]]:
    return [(pairing.answer(pair), pairing.truth(pair)) for pair in pairing.pairs]


def pair(rows: list[dict[str, Any]], **how: Any) -> Pairing:
    return pair_texts(rows, REFERENCES, Matching(**how))


@given(st.randoms())
def test_the_order_of_predictions_changes_nothing(order: random.Random) -> None:
    rows = predictions(q3="yes", q5="right", q9="ten")
    order.shuffle(rows)
    assert answers(pair(rows)) == [("yes", "yes"), ("right", "left lung"), ("ten", "10")]


def test_ids_are_one_whether_written_as_text_or_number() -> None:
    rows = [{"id": 3.0, "text": "a"}, {"id": " 5 ", "text": "b"}, {"id": 9, "text": "c"}]
    assert [found for found, _ in answers(pair(rows))] == ["a", "b", "c"]


def test_a_missing_prediction_needs_a_policy() -> None:
    rows = predictions(q3="yes", q9="ten")
    with pytest.raises(PolicyError) as caught:
        pair(rows)
    assert caught.value.code == "evaluate.missing"
    assert caught.value.facts == {"missing": 1, "rows": (1,)}
    dropped, wrong = pair(rows, missing="drop"), pair(rows, missing="wrong")
    assert (dropped.counts.scored, dropped.counts.unscored, dropped.counts.missing) == (2, 1, 1)
    assert (wrong.counts.scored, wrong.counts.unscored, wrong.counts.missing) == (3, 0, 1)
    assert answers(wrong)[1] == (None, "left lung")


@pytest.mark.parametrize("answer", [{"a": 1}, ["yes", "no"], True])
def test_an_answer_of_a_wrong_type_counts_as_missing(answer: object) -> None:
    rows = predictions(q3="yes", q5=answer, q9="ten")
    with pytest.raises(PolicyError):
        pair(rows)
    counts = pair(rows, missing="wrong").counts
    assert (counts.wrong_type, counts.missing, counts.scored) == (1, 0, 3)


@pytest.mark.parametrize("empty", ["", "  ", None, float("nan")])
def test_an_empty_answer_is_scored_as_it_is_and_counted(empty: object) -> None:
    counts = pair(predictions(q3="yes", q5=empty, q9="ten")).counts
    assert (counts.empty, counts.scored) == (1, 3)


def test_extra_predictions_are_counted_and_left_aside() -> None:
    found = pair(predictions(q3="yes", q5="left", q9="ten", q77="more"))
    assert found.counts.extra == 1
    assert len(found.pairs) == 3


def test_equal_duplicates_are_counted_and_different_ones_need_a_choice() -> None:
    rows = predictions(q3="yes", q5="left", q9="ten")
    assert pair([*rows, rows[1]]).counts.duplicated == 1
    again = {**rows[1], "answer_id": "another", "text": "left"}
    assert pair([*rows, again]).counts.duplicated == 1
    differing = [*rows, *predictions(q5="right")]
    with pytest.raises(AmbiguousInputError) as caught:
        pair(differing)
    assert caught.value.facts == {"ids": 1, "rows": (1, 3)}
    assert answers(pair(differing, duplicates="first"))[1][0] == "left"
    assert answers(pair(differing, duplicates="last"))[1][0] == "right"


def test_rows_without_ids_are_matched_by_position_if_their_number_fits() -> None:
    rows = [{"text": "yes"}, {"text": "left"}, {"text": "ten"}]
    found = pair(rows)
    assert answers(found)[1] == ("left", "left lung")
    assert found.notes == ("matched by position",)
    with pytest.raises(InputError, match="cannot be told apart"):
        pair(rows[:2], missing="wrong")


def test_foreign_ids_are_set_aside_where_every_question_proves_the_order() -> None:
    rows = [
        {"question_id": position, "prompt": f"<image>\n{row['question']}", "text": str(position)}
        for position, row in enumerate(REFERENCES, start=3)
    ]
    found = pair(rows)
    assert [answer for answer, _ in answers(found)] == ["3", "4", "5"]
    assert "foreign" in found.notes[0]
    rows[2]["prompt"] = "Something else?"
    with pytest.raises(PolicyError):
        pair(rows)


def test_another_question_than_the_reference_is_named() -> None:
    rows = [{"id": row["qid"], "question": "Is it coronal?", "text": "no"} for row in REFERENCES]
    assert pair(rows).notes == ("prompt mismatch: question text (3 rows)",)


def test_rows_that_hold_both_answers_need_no_references() -> None:
    rows = [{"question_id": 1, "answer": "a ship", "ground_truth": "a boat"}] * 2
    found = pair_texts(rows)
    assert answers(found) == [("a ship", "a boat")] * 2
    assert found.counts.duplicated == 1
    other = pair_texts([{"model_output": "A", "answer": "B"}])
    assert answers(other) == [("A", "B")]


@pytest.mark.parametrize(
    ("rows", "references"),
    [([], REFERENCES), (predictions(q3="x"), []), (predictions(q1="x"), REFERENCES)],
)
def test_nothing_to_score_is_refused_under_every_policy(
    rows: list[dict[str, Any]], references: list[dict[str, Any]]
) -> None:
    for missing in ("wrong", "drop"):
        with pytest.raises(InputError):
            pair_texts(rows, references, Matching(missing=missing))


def test_refusals_name_rows_by_position_and_never_by_id() -> None:
    references = [{"id": f"Doe^Jane-{k}", "answer": "x"} for k in range(30)]
    with pytest.raises(PolicyError) as caught:
        pair_texts([{"id": "Doe^Jane-0", "text": "x"}], references)
    assert "Doe" not in str(caught.value)
    assert "rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and more" in str(caught.value)


def test_unknown_choices_and_fields_are_refused() -> None:
    with pytest.raises(PolicyError, match="missing cannot be 'ignore'"):
        Matching(missing="ignore")  # type: ignore[arg-type]
    with pytest.raises(PolicyError) as caught:
        pair(predictions(q3="yes"), answer_field="nothing")
    assert caught.value.code == "evaluate.answer_field"
    with pytest.raises(InputError, match="have no id while others"):
        pair([{"id": 3, "text": "a"}, {"id": None, "text": "b"}])
