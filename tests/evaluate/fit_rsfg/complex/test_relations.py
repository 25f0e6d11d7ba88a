"""Tasks 2 and 3: relations by name, and the rows that vanish officially."""

from typing import Any

import pytest
from fit_rsfg_answers import metrics, reasoned, row

BOTH = "tank <not co-storage with> tank, tank <co-storage with> tank"
TRUTH = reasoned("tank", "storehouse", "co-storage with")


def figures(protocol: str, task: str, *texts: tuple[str, str]) -> Any:
    found = metrics(protocol, *(row(task, *both) for both in texts))
    return pytest.approx(tuple(found[f"{task}/{name}"] for name in ("P", "R", "F1")))


@pytest.mark.parametrize(
    ("answer", "official", "strict"),
    [
        (BOTH, (1, 1, 1), (1, 1, 1)),
        ("tank <co-storage with> tank", (1, 1 / 2, 2 / 3), (1, 1 / 2, 2 / 3)),
        (BOTH + " <over> ", (2 / 3, 1, 0.8), (2 / 3, 1, 0.8)),
        ("<Co-storage with>, <not co-storage with>", (0.5, 0.5, 0.5), (1, 1, 1)),
        ("<rel>co-storage with</rel>", (0, 0, 0), (1, 1 / 2, 2 / 3)),
        ("", (0, 0, 0), (0, 0, 0)),
    ],
)
def test_relation_detection(answer: str, official: tuple, strict: tuple) -> None:
    assert figures("official", "task2", (BOTH, answer)) == official
    assert figures("strict", "task2", (BOTH, answer)) == strict


def test_counts_are_summed_over_rows() -> None:
    rows = (BOTH, BOTH), ("ship <over> dock", "ship <around> dock")
    assert figures("official", "task2", *rows) == (2 / 3, 2 / 3, 2 / 3)


@pytest.mark.parametrize(
    ("answer", "strict"),
    [
        (reasoned("tank", "dock", "co-storage with"), (1 / 2, 1 / 2, 1 / 2)),
        ("co-storage with", (1, 1 / 2, 2 / 3)),
        ("", (1, 1 / 2, 2 / 3)),
    ],
)
def test_rows_that_vanish_officially_count_strictly(answer: str, strict: tuple) -> None:
    rows = (TRUTH, TRUTH), (TRUTH, answer)
    assert figures("official", "task3", *rows) == (1, 1, 1)
    assert figures("strict", "task3", *rows) == strict


def test_a_wrong_relation_is_wrong_under_both() -> None:
    wrong = (TRUTH, reasoned("tank", "storehouse", "over"))
    assert figures("official", "task3", wrong) == (0, 0, 0)
    assert figures("strict", "task3", wrong) == (0, 0, 0)


def test_a_relation_where_there_is_none_costs_strictly() -> None:
    rows = (TRUTH, TRUTH), ("There is no relation.", reasoned("tank", "dock", "over"))
    assert figures("official", "task3", *rows) == (1, 1, 1)
    assert figures("strict", "task3", *rows) == (1 / 2, 1, 2 / 3)
