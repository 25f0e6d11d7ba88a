"""Every score that the official scorer gave is given again."""

from typing import Any

import pytest
from fit_rsfg_answers import golden, needs_golden, row

from longllava_domains.evaluate import score

CONTENT = golden()
NAMES = {
    "mAP1": ("task1/mAP",),
    "mAP4": ("task4/mAP",),
    "mAP6": ("task6/mAP",),
    "PRF2": ("task2/P", "task2/R", "task2/F1"),
    "PRF3": ("task3/P", "task3/R", "task3/F1"),
}


def rows_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    replaced = row(case["task"], case["ground_truth"], case["answer"])
    base = [
        {**one, **replaced} if one["category"] == case["task"] else one
        for one in CONTENT["base_rows"]
    ]
    return base + case["extra_rows"]


def expected(case: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Name -> value and tolerance; recalls and PRF are printed with four digits."""
    found: dict[str, tuple[float, float]] = {}
    for name, value in case["score"].items():
        if name in NAMES:
            tolerance = 1e-6 if name.startswith("mAP") else 5.1e-5
            found |= {key: (one, tolerance) for key, one in zip(NAMES[name], value, strict=True)}
        elif name in ("R", "mR"):
            found[f"{case['task']}/{name}"] = (float(value), 5.1e-5)
    return found


@needs_golden
@pytest.mark.parametrize(
    "case", CONTENT["cases"], ids=lambda case: f"{case['task']}: {case['name']}"
)
def test_a_case_of_the_official_scorer(case: dict[str, Any]) -> None:
    result = score("fit-rsfg/complex", rows_of(case), protocol="official")
    crashes = "EXC" in case["score"]
    assert crashes == any("crashes" in note for note in result.notes)
    for name, (value, tolerance) in expected(case).items():
        if value != value:  # the official scorer prints nan: there was nothing to score
            assert name not in result.metrics
            assert any("nan" in note for note in result.notes)
        else:
            assert result.metrics[name] == pytest.approx(value, abs=tolerance)


@needs_golden
def test_the_sentence_of_a_crash_counts_as_unparsed() -> None:
    (case,) = [case for case in CONTENT["cases"] if "EXC" in case["score"]]
    found = score("fit-rsfg/complex", rows_of(case), protocol="official").metrics
    assert "task6/R" not in found
    assert (found["task6/mR"], found["task6/mAP"]) == (0.0, 0.0)
    strict = score("fit-rsfg/complex", rows_of(case), protocol="strict").metrics
    assert strict["task6/R"] == 0.0
