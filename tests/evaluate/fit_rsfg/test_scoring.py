"""Answer files in any state end in a score or in an error of ours, and every row is accounted for."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fit_rsfg_answers import box, detected, numbered, random_rows, row
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.errors import InputError, LongLlavaError
from longllava_domains.evaluate import PROTOCOLS, Result, score
from longllava_domains.evaluate.fit_rsfg import differing_rows
from longllava_domains.evaluate.fit_rsfg.scoring import SCORERS

COMPLEX = "fit-rsfg/complex"
TRUTH = detected("ship", box(20, 20), box(60, 60))
MARKS = ["{", "<", ">", "}", "<rel>", "</rel>", "<rbox>(", ")</rbox>", "<ref>", "</ref>"]
MARKS += [". ", "it is ", "> it", "1.5", "nan", "ship", "\n", "\ud800", "subject: a, object: b,"]

texts = st.lists(st.sampled_from(MARKS)).map("".join) | st.text()
answers = texts | st.none() | st.integers() | st.floats()
rows = st.lists(
    st.fixed_dictionaries(
        {
            "category": st.sampled_from(["task1", "task2", "task3", "task4", "task5", "task6"])
            | st.text()
            | st.none(),
            "answer": answers,
            "ground_truth": answers | st.just(TRUTH),
        },
        optional={"question_id": st.integers(0, 3) | st.none() | st.text(max_size=2)},
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("name", SCORERS)
def test_both_protocols_of_each_benchmark_can_be_chosen(name: str) -> None:
    assert set(PROTOCOLS[name]) == {"official", "strict"}


def score_or_refusal(name: str, rows: list, protocol: str) -> Result | str:
    settings = {"tokenizer": "plain"} if name.endswith("caption") else {}
    try:
        return score(name, rows, protocol=protocol, missing="wrong", **settings)
    except LongLlavaError as error:
        return error.code


@given(rows, st.sampled_from(list(SCORERS)), st.sampled_from(["official", "strict"]))
def test_hostile_rows_end_in_fractions_or_in_an_error_of_ours(
    rows: list, name: str, protocol: str
) -> None:
    found = score_or_refusal(name, rows, protocol)
    if isinstance(found, str):
        assert found in {"evaluate.nothing", "evaluate.match"}  # no row counts, no row is usable
        return
    scale = {"CIDEr": 10}
    assert all(0 <= one <= scale.get(name, 1) + 1e-6 for name, one in found.metrics.items())
    assert found.counts.scored + found.counts.unscored == len(rows) == len(found.rows)


@pytest.mark.parametrize("answer", ["{" * 400_000, "<rel>" * 80_000, "There is 1 " * 40_000])
def test_a_huge_answer_of_open_marks_is_read_in_one_pass(answer: str) -> None:
    tasks = [row(f"task{number}", TRUTH, answer) for number in range(1, 7)]
    found = score(COMPLEX, numbered(tasks), protocol="official")
    assert found.metrics["task1/mAP"] == 0.0


def test_wrong_types_need_a_policy_and_are_then_wrong() -> None:
    tasks = numbered([row("task1", TRUTH, TRUTH), {**row("task1", TRUTH, ""), "answer": {"a": 1}}])
    with pytest.raises(LongLlavaError) as caught:
        score(COMPLEX, tasks, protocol="official")
    assert caught.value.code == "evaluate.missing"
    found = score(COMPLEX, tasks, protocol="official", missing="wrong")
    assert found.metrics["task1/mAP"] == pytest.approx(6 / 11)
    assert found.counts.wrong_type == 1


@pytest.mark.parametrize("nothing", [None, math.nan, ""])
def test_an_answer_that_is_nothing_is_an_unparsed_answer(nothing: Any) -> None:
    tasks = numbered([row("task1", TRUTH, TRUTH), {**row("task1", TRUTH, ""), "answer": nothing}])
    found = score(COMPLEX, tasks, protocol="official")
    assert found.metrics["task1/mAP"] == pytest.approx(6 / 11)
    assert found.counts.empty == 1


def test_repeated_ids_are_counted_and_all_scored() -> None:
    tasks = [row("task1", TRUTH, answer, question_id=4) for answer in (TRUTH, "")]
    found = score(COMPLEX, tasks, protocol="official")
    assert found.counts.duplicated == 1
    assert found.metrics["task1/mAP"] == pytest.approx(6 / 11)


def test_rows_without_ids_are_numbered_by_position() -> None:
    tasks = [row("task1", TRUTH, TRUTH, question_id=0), row("task1", TRUTH, "")]
    assert [one["id"] for one in score(COMPLEX, tasks, protocol="strict").rows] == ["0", "row 1"]
    bare = [row("task1", TRUTH, TRUTH), row("task1", TRUTH, "")]
    assert [one["id"] for one in score(COMPLEX, bare, protocol="strict").rows] == ["0", "1"]


def test_truths_can_stand_in_a_file_of_their_own() -> None:
    tasks = numbered([row("task1", TRUTH, TRUTH), row("task1", TRUTH, "")])
    given = [{"question_id": one["question_id"], "answer": one["answer"]} for one in tasks]
    truths = [{name: one[name] for name in one if name != "answer"} for one in tasks]
    apart = score(COMPLEX, list(reversed(given)), truths, protocol="official")
    assert apart.metrics == score(COMPLEX, tasks, protocol="official").metrics


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_in_another_encoding_is_the_same_file(tmp_path: Path, encoding: str) -> None:
    tasks = random_rows(60)
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, tasks)), encoding=encoding)
    from_file = score(COMPLEX, path, protocol="official")
    assert from_file.metrics == score(COMPLEX, tasks, protocol="official").metrics


def test_nothing_to_score_is_no_score() -> None:
    with pytest.raises(InputError) as caught:
        score(COMPLEX, [row("task9", TRUTH, TRUTH)], protocol="official")
    assert caught.value.code == "evaluate.nothing"


def test_rows_of_one_task_do_not_change_another() -> None:
    tasks = random_rows(120)
    whole = score(COMPLEX, tasks, protocol="official").metrics
    for task in ("task1", "task3", "task5"):
        alone = [one for one in tasks if one["category"] == task]
        expected = {name: one for name, one in whole.items() if name.startswith(task)}
        assert score(COMPLEX, alone, protocol="official").metrics == pytest.approx(expected)


@pytest.mark.parametrize("protocol", ["official", "strict"])
def test_resampled_sums_give_the_metrics_themselves(protocol: str) -> None:
    found = score(COMPLEX, random_rows(120), protocol=protocol)
    assert {name[:5] for name in found.statistics} == {"task2", "task3", "task5", "task6"}
    for name, statistic in found.statistics.items():
        assert statistic.value == found.metrics[name]
        assert 0 <= float(statistic.combine(statistic.contributions[:60].sum(axis=0))) <= 1


def test_the_rows_on_which_the_protocols_differ() -> None:
    tasks = numbered(
        [
            row("task1", TRUTH, TRUTH),
            row("task1", TRUTH, TRUTH.replace("ship", "boat")),
            row("task3", "subject: a, object: b, <rel>over</rel>", "over"),
        ]
    )
    official, strict = (score(COMPLEX, tasks, protocol=name) for name in ("official", "strict"))
    found = differing_rows(official, strict)
    assert [one["id"] for one in found] == ["1", "2"]
    assert (found[0]["official"], found[0]["strict"]) == (1.0, 0.0)
    assert found[0]["strict_reason"] == "another class"
    assert (found[1]["official"], found[1]["strict"]) == (None, 0.0)
    with pytest.raises(InputError):
        differing_rows(official, score(COMPLEX, tasks[:2], protocol="strict"))
