"""A result carries its choices, its rows and its counts into every file it becomes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from longllava_domains.errors import InputError, OutputError
from longllava_domains.evaluate.card import save_card
from longllava_domains.evaluate.predictions import Counts
from longllava_domains.evaluate.result import Result
from longllava_domains.evaluate.statistic import defined, mean_statistic


@pytest.fixture
def result() -> Result:
    scores = {"accuracy": mean_statistic([1, 0, 1]), "closed": mean_statistic([1, 0, 1], [1, 1, 0])}
    return Result(
        benchmark="vqa-rad",
        protocol="strict@1",
        metrics={name: found.value for name, found in scores.items()},
        counts=Counts(references=4, predictions=3, scored=3, unscored=1, missing=1),
        settings={"missing": "drop"},
        rows=[{"id": str(k), "answer": "a|b", "score": float(k != 1)} for k in range(3)],
        statistics=scores,
        notes=("matched by position",),
    )


def test_a_card_says_every_choice_and_count(result: Result, tmp_path: Path) -> None:
    save_card(result, tmp_path / "card.json")
    save_card(result, tmp_path / "card.md")
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["metrics"] == {"accuracy": pytest.approx(2 / 3), "closed": 0.5}
    assert card["counts"]["missing"] == 1
    assert card["settings"] == {"missing": "drop"}
    text = (tmp_path / "card.md").read_text()
    for said in (
        "strict@1",
        "| accuracy | 0.6667 |  |",
        "| missing | 1 |",
        "> matched by position",
    ):
        assert said in text
    assert "Not a medical device" in text


def test_the_rows_are_saved_as_a_table(result: Result, tmp_path: Path) -> None:
    result.save_rows(tmp_path / "rows.parquet")
    result.save_rows(tmp_path / "rows.csv")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [dict(r) for r in result.rows]
    assert (tmp_path / "rows.csv").read_text().splitlines()[0] == '"id","answer","score"'


def test_an_existing_card_stays_unless_replacing_was_asked_for(
    result: Result, tmp_path: Path
) -> None:
    save_card(result, tmp_path / "card.md")
    with pytest.raises(OutputError):
        save_card(result, tmp_path / "card.md")
    with pytest.raises(OutputError):
        save_card(result, tmp_path / "card.docx")
    with pytest.raises(OutputError):
        result.save_rows(tmp_path / "rows.xlsx")


def test_a_table_of_mixed_values_is_refused_with_an_error_of_ours(
    result: Result, tmp_path: Path
) -> None:
    mixed = replace(
        result, rows=[{**row, "truth": (1, "b", 2.0)[k]} for k, row in enumerate(result.rows)]
    )
    with pytest.raises(OutputError) as caught:
        mixed.save_rows(tmp_path / "rows.parquet")
    assert caught.value.code == "evaluate.rows"
    assert list(tmp_path.iterdir()) == []


def test_a_score_of_nothing_is_refused_rather_than_zero() -> None:
    statistics = defined([("open", mean_statistic([1.0], [False]))])
    assert statistics == {}
    with pytest.raises(InputError) as caught:
        Result("vqa-rad", "strict@1", {}, Counts(0, 0, 0))
    assert caught.value.code == "evaluate.nothing"


def test_a_mean_counts_only_its_own_rows() -> None:
    found = mean_statistic(np.array([1.0, 0.0, 0.5]), np.array([True, True, False]))
    assert found.value == 0.5
