import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.adapters.training.calibrate import (
    HeldOut,
    calibration_error,
    fit_calibration,
    platt,
    sigmoid,
)
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.ct.calibration import Calibration

FINGERPRINT = {"model_sha256": "ab" * 32, "preset": "ct-default@1"}


def held_out(scans: int = 600, slope: float = 0.4, shift: float = -1.0, seed: int = 0) -> HeldOut:
    """Margins whose true probability is known; two scans of each patient, which agree."""
    chance = np.random.default_rng(seed)
    margins = chance.normal(0, 4, (scans // 2, 1)).repeat(2, axis=0)
    present = chance.random((scans // 2, 1)).repeat(2, axis=0) < sigmoid(slope * margins + shift)
    groups = tuple(f"patient_{n // 2}" for n in range(scans))
    return HeldOut(groups, ("Pleural effusion",), margins, present)


def test_a_known_calibration_is_found_and_its_error_falls() -> None:
    made = fit_calibration(held_out(4000), FINGERPRINT, "simulated")
    fit = made["labels"]["Pleural effusion"]
    assert fit["slope"] == pytest.approx(0.4, abs=0.05)
    assert fit["intercept"] == pytest.approx(-1.0, abs=0.2)
    before, after = fit["error"]
    assert after < 0.04 < before
    assert fit["error_interval"][0] <= after * 1.5
    assert fit["error_interval"][0] < fit["error_interval"][1]
    # The best threshold of a calibrated logistic model lies near the prevalence.
    assert fit["threshold"] == pytest.approx(held_out(4000).present.mean(), abs=0.12)
    assert fit["sensitivity"] + fit["specificity"] > 1.3


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=4, max_size=40),
    st.floats(1e-3, 1e3),
)
def test_the_fit_is_where_no_step_lowers_the_loss(rows, scale) -> None:
    margins = scale * np.array([margin for margin, _ in rows])
    present = np.array([is_there for _, is_there in rows])
    slope, intercept = platt(margins, present)
    positives, negatives = present.sum(), (~present).sum()
    target = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(a: float, b: float) -> float:
        logit = a * margins + b
        return float((np.logaddexp(0, logit) - target * logit).sum())

    best = loss(slope, intercept)
    size = max(np.abs(margins).max(), 1e-12)
    for a, b in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert loss(slope + a / size, intercept + b) >= best - 1e-9


def test_margins_that_separate_the_kinds_keep_a_finite_slope() -> None:
    slope, intercept = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert 0 < slope < 10
    assert abs(intercept) < 1e-6


def test_a_constant_probability_has_the_gap_to_the_prevalence_as_its_error() -> None:
    present = np.arange(100) % 4 == 0
    assert calibration_error(np.full(100, 0.25), present) == pytest.approx(0.0, abs=0.05)
    assert calibration_error(np.full(100, 0.75), present) == pytest.approx(0.5, abs=0.05)


def test_a_pipeline_reads_the_file_and_refuses_it_for_other_weights(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fit_calibration(held_out(), FINGERPRINT, "simulated")))
    read = Calibration.from_file(path)
    slope, intercept = read.coefficients["Pleural effusion"]
    expected = float(sigmoid(np.array(slope * 2.0 + intercept)))
    assert read.probability("Pleural effusion", 2.0) == pytest.approx(expected)
    read.require_for(FINGERPRINT["model_sha256"], FINGERPRINT["preset"])
    for other in (
        ("cd" * 32, FINGERPRINT["preset"], None),
        (FINGERPRINT["model_sha256"], "another@1", None),
        (FINGERPRINT["model_sha256"], FINGERPRINT["preset"], "ef" * 32),
    ):
        with pytest.raises(PolicyError, match="other weights"):
            read.require_for(*other)


def test_a_label_with_few_patients_is_not_fitted_and_named() -> None:
    whole = held_out()
    rare = np.zeros_like(whole.present)
    rare[:18] = True  # nine patients of two scans
    both = HeldOut(
        whole.groups, ("Pleural effusion", "Rare"),
        np.concatenate([whole.margins, whole.margins], 1),
        np.concatenate([whole.present, rare], 1),
    )  # fmt: skip
    made = fit_calibration(both, FINGERPRINT, "simulated")
    assert list(made["coefficients"]) == ["Pleural effusion"]
    assert made["not_fitted"] == {"Rare": "9 patients with it and 291 without"}
    with pytest.raises(PolicyError, match="No label has 10 patients"):
        fit_calibration(
            HeldOut(whole.groups, ("Rare",), whole.margins, rare), FINGERPRINT, "simulated"
        )


def test_the_split_is_a_hash_that_hides_patients_and_not_their_order() -> None:
    made = held_out()
    turned = HeldOut(made.groups[::-1], made.labels, made.margins[::-1], made.present[::-1])
    assert made.sha256() == turned.sha256() != held_out(seed=1).sha256()
    assert "patient_0" not in json.dumps(fit_calibration(made, FINGERPRINT, "simulated"))


@pytest.mark.parametrize("lost", ["model_sha256", "preset"])
def test_what_it_was_fitted_for_must_be_known(lost: str) -> None:
    known = {name: value for name, value in FINGERPRINT.items() if name != lost}
    with pytest.raises(PolicyError, match=lost):
        fit_calibration(held_out(), known, "simulated")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_margins_that_are_not_finite_are_refused(value: float) -> None:
    made = held_out()
    margins = made.margins.copy()
    margins[3] = value
    with pytest.raises(PolicyError, match="must be finite"):
        HeldOut(made.groups, made.labels, margins, made.present)
