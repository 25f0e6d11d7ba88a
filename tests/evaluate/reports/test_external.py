"""Report metrics of other packages: absent and said so, and failures counted, never scored 0."""

import sys
from types import ModuleType

import pytest

from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.reports import external

PAIRS = [("a nodule", "a nodule"), ("", "clear"), ("effusion", "effusion")]


def installed(monkeypatch: pytest.MonkeyPatch, scores: list[object]) -> None:
    """Put a RaTEScore of that shape in place; the real one needs weights."""
    module = ModuleType("RaTEScore")

    class RaTEScore:
        def __init__(self, bert_model: str) -> None:
            assert bert_model == "weights"

        def compute_score(self, hyps: list[str], refs: list[str]) -> list[object]:
            return scores

    module.RaTEScore = RaTEScore  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "RaTEScore", module)
    monkeypatch.setattr(
        external, "find_spec", lambda name: object() if name == "RaTEScore" else None
    )


def test_what_is_not_installed_is_absent_and_says_so(monkeypatch) -> None:
    monkeypatch.setattr(external, "find_spec", lambda name: None)
    assert external.available()["radgraph"] == "absent: pip install radgraph"
    with pytest.raises(PolicyError, match="absent"):
        external.report_metric("radgraph", PAIRS, weights="weights")
    with pytest.raises(PolicyError, match="no metric"):
        external.report_metric("bleurt", PAIRS, weights="weights")


def test_pairs_that_cannot_be_read_are_counted_and_in_no_mean(monkeypatch) -> None:
    installed(monkeypatch, [1.0, float("nan"), "0.5"])
    found = external.report_metric("ratescore", PAIRS, weights="weights")
    assert found.scores == (1.0, None, 0.5)
    assert found.failures == 1
    assert found.mean == 0.75
    with pytest.raises(PolicyError):
        external.report_metric("ratescore", PAIRS, weights="")


def test_another_number_of_scores_is_refused(monkeypatch) -> None:
    installed(monkeypatch, [1.0])
    with pytest.raises(InputError):
        external.report_metric("ratescore", PAIRS, weights="weights")
