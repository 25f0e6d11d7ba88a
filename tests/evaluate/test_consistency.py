"""Rows of tables whose numbers cannot belong together, and rows whose numbers can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from medical_golden import golden, needs_golden

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.consistency import (
    Reported,
    contradictions,
    macro_accuracy_bound,
)

PAPER = Reported(accuracy=0.867, precision=0.355, recall=0.776, f1=0.485)
CT_CLIP = Reported(accuracy=0.651, precision=0.304, recall=0.738, f1=0.430)
LABELS = np.array(
    [313, 867, 325, 226, 765, 417, 789, 600, 713, 1361, 1184, 831, 376, 253, 355, 581, 330, 249]
) / 3039  # fmt: skip


def test_the_row_of_the_paper_fits_neither_micro_nor_macro_averages() -> None:
    found = contradictions(PAPER, LABELS)
    assert len(found) == 3
    assert "prevalence of 0.0814" in found[1]
    assert "macro" in found[2]
    assert len(contradictions(PAPER, 0.1799)) == 2


def test_the_row_of_ct_clip_fits_one_volume_for_each_patient() -> None:
    assert contradictions(CT_CLIP, 0.1799) == ()
    assert contradictions(CT_CLIP, LABELS) == ()


COUNTS = st.tuples(*[st.integers(1, 500)] * 4)


@given(COUNTS)
def test_numbers_of_real_counts_never_contradict_each_other(counts) -> None:
    tp, fp, fn, tn = counts
    row = Reported(
        accuracy=round((tp + tn) / sum(counts), 3),
        precision=round(tp / (tp + fp), 3),
        recall=round(tp / (tp + fn), 3),
        f1=round(2 * tp / (2 * tp + fp + fn), 3),
    )
    assert contradictions(row, (tp + fn) / sum(counts), prevalence_tolerance=0) == ()


@given(st.lists(COUNTS, min_size=2, max_size=4))
def test_macro_averages_of_real_counts_stay_below_the_bound(labels) -> None:
    precision = np.mean([tp / (tp + fp) for tp, fp, _, _ in labels])
    recall = np.mean([tp / (tp + fn) for tp, _, fn, _ in labels])
    accuracy = np.mean([(tp + tn) / (tp + fp + fn + tn) for tp, fp, fn, tn in labels])
    prevalences = np.array([(tp + fn) / (tp + fp + fn + tn) for tp, fp, fn, tn in labels])
    assert accuracy <= macro_accuracy_bound(precision, recall, prevalences)


def test_an_accuracy_that_is_too_high_is_told_by_how_much() -> None:
    (line,) = contradictions(Reported(accuracy=0.99, precision=0.5, recall=0.5), 0.2)
    assert "not 0.990" in line


def test_missing_columns_are_not_judged() -> None:
    assert contradictions(Reported(accuracy=0.9), 0.2) == ()
    assert contradictions(Reported(precision=0.5, recall=0.5, f1=0.5), 0.2) == ()
    assert len(contradictions(Reported(precision=0.5, recall=0.5, f1=0.6), 0.2)) == 1


def test_percentages_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"cannot be 86\.7"):
        Reported(accuracy=86.7)


@needs_golden
def test_the_identity_is_the_one_that_was_worked_out_by_hand() -> None:
    row = golden("consistency")["longllava_med_row"]
    for prevalence in ("0.1799", "0.192589"):
        exact = Reported(row[f"acc_at_pi_{prevalence}"], row["P"], row["R"], row["F1_from_PR"])
        assert contradictions(exact, float(prevalence), rounding=1e-9, prevalence_tolerance=0) == ()
    (line,) = contradictions(Reported(0.867, row["P"], row["R"]), 0.1799)
    assert f"prevalence of {row['pi_needed_for_0.867']:.4f}" in line


@pytest.mark.parametrize("prevalence", [2.0, -0.1, [0.1, 1.5], float("nan")])
def test_a_prevalence_outside_0_to_1_is_refused(prevalence: float | list[float]) -> None:
    with pytest.raises(PolicyError, match="prevalence cannot be"):
        contradictions(Reported(accuracy=0.5), prevalence)
