"""Averages over labels, against counting by hand, and the areas and thresholds under ROC curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from medical_golden import golden, needs_golden

from longllava_domains.evaluate.multilabel import statistics
from longllava_domains.evaluate.roc import RULES, auroc, best_threshold, roc_curve

MATRICES = st.integers(1, 12).flatmap(
    lambda cases: st.tuples(
        *[st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=cases, max_size=cases)]
        * 2
    )
)


def safe(above: float, below: float) -> float:
    return above / below if below else 0.0


def prf(pairs: list[tuple[bool, bool]]) -> tuple[float, float, float]:
    tp = sum(t and c for t, c in pairs)
    called, there = sum(c for _, c in pairs), sum(t for t, _ in pairs)
    return safe(tp, called), safe(tp, there), safe(2 * tp, called + there)


def by_hand(truth: list[list[bool]], called: list[list[bool]]) -> dict[str, float]:
    columns = [list(zip(*both, strict=True)) for both in zip(zip(*truth), zip(*called))]  # noqa: B905
    rows = [list(zip(*both, strict=True)) for both in zip(truth, called, strict=True)]
    groups = {
        "micro": [[pair for column in columns for pair in column]],
        "macro": columns,
        "samples": rows,
    }
    found = {}
    for name, parts in groups.items():
        for index, score in enumerate(("precision", "recall", "f1")):
            found[f"{name}/{score}"] = np.mean([prf(part)[index] for part in parts])
    found["accuracy"] = np.mean([t == c for t, c in groups["micro"][0]])
    found["subset_accuracy"] = np.mean([t == c for t, c in zip(truth, called, strict=True)])
    return found


@given(MATRICES)
def test_every_average_is_what_counting_by_hand_gives(matrices) -> None:
    truth, called = matrices
    found = statistics(np.array(truth), np.array(called), ("a", "b", "c"))
    for name, value in by_hand(truth, called).items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name


TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)


@pytest.mark.parametrize(
    ("called", "crg"),
    [(TRUTH, 1.0), (TRUTH & False, 1 / 3), (TRUTH | True, 1 / 3), (~TRUTH, 0.2)],
)
def test_crg_is_1_for_perfect_calls_and_a_third_for_none_or_all(called, crg) -> None:
    assert statistics(TRUTH, called, "abc")["crg"].value == pytest.approx(crg)


def test_crg_is_absent_where_nothing_is_positive() -> None:
    assert "crg" not in statistics(TRUTH & False, TRUTH, "abc")


@needs_golden
def test_the_toy_case_scores_as_the_official_evaluators_say() -> None:
    toy = golden("multilabel_toy")
    found = statistics(np.array(toy["y"], bool), np.array(toy["p"], bool), "abc")
    for average in ("micro", "macro", "samples", "weighted"):
        for name, value in zip(("precision", "recall", "f1"), toy[f"{average}_prf"], strict=True):
            assert found[f"{average}/{name}"].value == pytest.approx(value, abs=1e-9)
    assert found["crg"].value == pytest.approx(toy["crg"])
    assert found["accuracy"].value == toy["acc_elementwise"]
    assert found["subset_accuracy"].value == toy["acc_subset"]
    assert found["macro/f1_weighted"].value == pytest.approx(toy["f1_weighted_mean"], abs=1e-9)
    for label, weighted, binary in zip(
        "abc", toy["f1_weighted_per_class"], toy["f1_binary_per_class"], strict=True
    ):
        assert found[f"class/{label}/f1_weighted"].value == pytest.approx(weighted)
        assert found[f"class/{label}/f1"].value == pytest.approx(binary)


SCORED = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), min_size=2, max_size=20
)


@given(SCORED)
def test_the_area_is_the_share_of_pairs_in_order(cases) -> None:
    truth, scores = np.array([t for t, _ in cases]), np.array([s for _, s in cases])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[truth] for n in scores[~truth]]
    expected = np.mean(pairs) if pairs else None
    assert auroc(truth, scores) == (None if expected is None else pytest.approx(expected))
    if pairs:
        fpr, tpr = roc_curve(truth, scores)
        assert np.trapezoid(tpr, fpr) == pytest.approx(expected)


@pytest.mark.parametrize("rule", RULES)
@given(cases=SCORED)
def test_a_threshold_is_the_largest_of_the_best(rule, cases) -> None:
    truth, scores = np.array([t for t, _ in cases]), np.array([s for _, s in cases])
    if truth.all() or not truth.any():
        assert best_threshold(truth, scores, rule) is None
        return
    best, chosen = -np.inf, None
    for cut in np.linspace(0, 1, 100):
        called = scores > cut
        tp, fp = (called & truth).sum(), (called & ~truth).sum()
        tpr, fpr = tp / truth.sum(), fp / (~truth).sum()
        goodness = {
            "roc-distance": -np.sqrt(fpr**2 + (1 - tpr) ** 2),
            "youden": tpr - fpr,
            "f1": safe(2 * tp, tp + fp + truth.sum()),
        }[rule]
        if goodness >= best:
            best, chosen = goodness, cut
    assert best_threshold(truth, scores, rule) == chosen
