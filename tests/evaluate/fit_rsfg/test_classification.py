"""Scene classification: one class or all that apply, as the end of the prompt says."""

from typing import Any

import pytest
from fit_rsfg_answers import metrics

from longllava_domains.evaluate.fit_rsfg.classification import MULTI_ENDING, SINGLE_ENDING


def asked(ending: str, truth: str, answer: str) -> dict[str, Any]:
    return {"question": f"Which scene? {ending}", "ground_truth": truth, "answer": answer}


def figures(protocol: str, *rows: dict[str, Any]) -> Any:
    return pytest.approx(metrics(protocol, *rows, benchmark="fit-rsfg/classification"))


def multi(precision: float, recall: float, f1: float) -> dict[str, float]:
    return {"multi/P": precision, "multi/R": recall, "multi/F1": f1}


@pytest.mark.parametrize(
    ("answer", "official", "strict"), [("Airport", 1, 1), ("airport.", 0, 1), ("", 0, 0)]
)
def test_one_class(answer: str, official: int, strict: int) -> None:
    one = asked(SINGLE_ENDING, "airport", answer)
    assert figures("official", one) == {"single/accuracy": official}
    assert figures("strict", one) == {"single/accuracy": strict}


@pytest.mark.parametrize(
    ("answer", "truth", "official", "strict"),
    [
        ("car, truck", "car, truck, ship", (1, 2 / 3, 0.8), (1, 2 / 3, 0.8)),
        ("car and truck", "car, truck", (0, 0, 0), (0, 0, 0)),
        ("car, truck.", "car, truck", (0.5, 0.5, 0.5), (1, 1, 1)),
        ("", "car", (0, 0, 0), (0, 0, 0)),
    ],
)
def test_all_classes(answer: str, truth: str, official: Any, strict: Any) -> None:
    one = asked(MULTI_ENDING, truth, answer)
    assert figures("official", one) == multi(*official)
    assert figures("strict", one) == multi(*strict)


def test_counts_are_summed_over_rows() -> None:
    rows = asked(MULTI_ENDING, "tank, car, ship", "car,car, tank"), asked(MULTI_ENDING, "dock", "")
    assert figures("official", *rows) == multi(2 / 3, 1 / 2, 4 / 7)  # "" is one wrong class
    assert figures("strict", *rows) == multi(1, 1 / 2, 2 / 3)


def test_a_prompt_without_an_ending_is_like_the_one_before_officially() -> None:
    bare = asked("", "car, ship", "car, ship")
    before = asked(SINGLE_ENDING, "airport", "dock")
    assert figures("official", bare, before, bare) == {"single/accuracy": 0.5}  # first: left out
    assert figures("strict", bare, before, bare) == {"single/accuracy": 0, **multi(1, 1, 1)}
