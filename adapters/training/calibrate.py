"""Calibration: from margins on held-out patients to probabilities, with what they are worth.

Each label gets Platt's scaling (Platt 1999, with the targets and the Newton steps of Lin, Lin and
Weng 2007). How well it holds is measured on patients that the fit did not see, with intervals
from drawing patients, and saved beside the coefficients; so is what it was fitted for, because
other weights, words or slices shift the margins.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

METHOD: Final = "platt"
# Patients of either kind below which a label is not fitted: a slope would be chance.
MIN_PATIENTS: Final = 10
_FOLDS: Final = 5
_BINS: Final = 10
_DRAWS: Final = 500


@dataclass(frozen=True)
class HeldOut:
    """Margins of patients that the model was not trained on.

    Attributes:
        groups: Patient of each scan; hashed before anything is written.
        labels: Names of the findings.
        margins: (scans, labels) log-probability of yes minus no.
        present: (scans, labels) what is true.

    Raises:
        PolicyError: Shapes differ, or a margin is not finite.
    """

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    margins: Floats
    present: Bools

    def __post_init__(self) -> None:
        shape = (len(self.groups), len(self.labels))
        if (
            not (self.margins.shape == self.present.shape == shape)
            or not np.isfinite(self.margins).all()
        ):
            raise PolicyError(
                "Margins and truth must be finite and have a row a scan and a column a label.",
                remedy="Give arrays of shape (scans, labels), with the groups of the scans.",
                code="calibration.shape",
                facts={"scans": shape[0], "labels": shape[1]},
            )

    def sha256(self) -> str:
        """Return a hash of the split: which patients, and what is true of them."""
        digest = hashlib.sha256()
        for group, row in sorted(zip(self.groups, self.present.tolist(), strict=True)):
            digest.update(f"{hashlib.sha256(group.encode()).hexdigest()}{row}".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class LabelFit:
    """One label's calibration and what it is worth on patients that the fit did not see.

    Attributes:
        slope: Probability = 1 / (1 + exp(-(slope * margin + intercept))).
        intercept: See `slope`.
        threshold: Probability from which a finding counts as present: the one with the largest
            sum of sensitivity and specificity.
        patients: (with the finding, without).
        error: Expected calibration error before and after, from 0 to 1.
        error_interval: 95 % of the error after, over draws of patients.
        sensitivity: At the threshold.
        specificity: At the threshold.
    """

    slope: float
    intercept: float
    threshold: float
    patients: tuple[int, int]
    error: tuple[float, float]
    error_interval: tuple[float, float]
    sensitivity: float
    specificity: float


def fit_calibration(
    held_out: HeldOut,
    fingerprint: Mapping[str, str | None],
    population: str,
    *,
    limits: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit every label that has patients enough, and say what was fitted, for what, and how well.

    Args:
        held_out: Margins of patients that the model was not trained on.
        fingerprint: What the margins depend on: ``model_sha256`` and ``preset``, and where they
            are known ``adapter_sha256``, ``prompt_sha256``, ``policy_sha256`` and ``dtype``.
        population: Whom it holds for, in words.
        limits: The same as a program reads it: name -> words, or lowest and highest number.
        seed: Of the folds and the draws.

    Returns:
        The calibration as JSON; `pipelines` reads its ``model_sha256``, ``preset`` and
        ``coefficients`` (label -> (slope, intercept)).

    Raises:
        PolicyError: The fingerprint lacks the model or the preset, or no label can be fitted.
    """
    missing = [name for name in ("model_sha256", "preset") if not fingerprint.get(name)]
    if missing:
        raise PolicyError(
            f"A calibration without {missing[0]} would be used for margins it was not fitted for.",
            remedy="Take both from the provenance of the reports that the margins come from.",
            code="calibration.fingerprint",
        )
    fits: dict[str, LabelFit] = {}
    left_out = {}
    for column, label in enumerate(held_out.labels):
        margins, present = held_out.margins[:, column], held_out.present[:, column]
        patients = _patients(held_out.groups, present)
        if min(patients) < MIN_PATIENTS:
            left_out[label] = f"{patients[0]} patients with it and {patients[1]} without"
        else:
            fits[label] = _fit_label(held_out.groups, margins, present, patients, seed)
    if not fits:
        raise PolicyError(
            f"No label has {MIN_PATIENTS} patients with it and {MIN_PATIENTS} without.",
            remedy="Hold out more patients.",
            code="calibration.few",
        )
    return {
        **fingerprint,
        "method": METHOD,
        "coefficients": {label: [fit.slope, fit.intercept] for label, fit in fits.items()},
        "labels": {label: asdict(fit) for label, fit in fits.items()},
        "not_fitted": left_out,
        "population": population,
        "limits": {name: list(values) for name, values in (limits or {}).items()},
        "split_sha256": held_out.sha256(),
        "scans": len(held_out.groups),
        "patients": len(set(held_out.groups)),
        "notice": RESEARCH_NOTICE,
    }


def platt(margins: Floats, present: Bools) -> tuple[float, float]:
    """Fit slope and intercept by Newton's method with backtracking.

    Targets are (positives + 1) / (positives + 2) and 1 / (negatives + 2), so that margins which
    separate the two kinds do not drive the slope to infinity.

    Args:
        margins: (scans,)
        present: (scans,), some of either kind.
    """
    positives = int(present.sum())
    negatives = len(present) - positives
    target = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scale = max(float(np.abs(margins).max()), 1e-12)  # margins of any size are fitted equally well
    X = np.stack([margins / scale, np.ones_like(margins)], 1)
    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(100):
        probability = sigmoid(X @ weights)
        gradient = X.T @ (probability - target)
        if np.abs(gradient).max() < 1e-9:
            break
        curvature = (X * (probability * (1 - probability))[:, None]).T @ X + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        before, size = _loss(X @ weights, target), 1.0
        while _loss(X @ (weights - size * step), target) > before and size > 1e-10:
            size /= 2
        weights = weights - size * step
    return float(weights[0] / scale), float(weights[1])


def calibration_error(probability: Floats, present: Bools) -> float:
    """Return the expected calibration error over ten bins of equally many scans."""
    order = np.argsort(probability, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    gaps = [abs(probability[part].mean() - present[part].mean()) * len(part) for part in bins]
    return float(sum(gaps) / len(probability))


def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(-logit)) without overflow."""
    probability: Floats = np.exp(-np.logaddexp(0.0, -logit))
    return probability


def _fit_label(
    groups: Sequence[str], margins: Floats, present: Bools, patients: tuple[int, int], seed: int
) -> LabelFit:
    slope, intercept = platt(margins, present)
    unseen = _unseen(groups, margins, present, seed)
    threshold = _best_threshold(unseen, present)
    chance = np.random.default_rng([seed, 1])
    members = _members(groups)
    errors = []
    for _ in range(_DRAWS):
        drawn = np.concatenate([members[n] for n in chance.integers(0, len(members), len(members))])
        errors.append(calibration_error(unseen[drawn], present[drawn]))
    low, high = np.quantile(errors, (0.025, 0.975))
    called = unseen >= threshold
    return LabelFit(
        slope,
        intercept,
        threshold,
        patients,
        (calibration_error(sigmoid(margins), present), calibration_error(unseen, present)),
        (float(low), float(high)),
        float(called[present].mean()),
        float((~called)[~present].mean()),
    )


def _unseen(groups: Sequence[str], margins: Floats, present: Bools, seed: int) -> Floats:
    """Return each scan's probability by a fit that saw none of its patient's scans."""
    members = _members(groups)
    fold_of = np.random.default_rng([seed, 0]).permutation(len(members)) % _FOLDS
    probability = np.empty(len(margins))
    for fold in range(_FOLDS):
        inside = np.zeros(len(margins), bool)
        for patient in np.flatnonzero(fold_of == fold):
            inside[members[patient]] = True
        slope, intercept = platt(margins[~inside], present[~inside])
        probability[inside] = sigmoid(slope * margins[inside] + intercept)
    return probability


def _members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the scans of each patient, in order of the patients' names."""
    names, number = np.unique(np.array(groups), return_inverse=True)
    return [np.flatnonzero(number == patient) for patient in range(len(names))]


def _patients(groups: Sequence[str], present: Bools) -> tuple[int, int]:
    """Count patients with a finding in any scan, and those without it in all."""
    found = {group for group, is_there in zip(groups, present, strict=True) if is_there}
    return len(found), len(set(groups) - found)


def _best_threshold(probability: Floats, present: Bools) -> float:
    """Return the probability with the largest sensitivity plus specificity."""
    order = np.argsort(-probability, kind="stable")
    sorted_probability, sorted_present = probability[order], present[order]
    true = np.cumsum(sorted_present) / present.sum()
    false = np.cumsum(~sorted_present) / (~present).sum()
    ends = np.append(np.diff(sorted_probability) != 0, True)  # equal probabilities fall together
    gain = np.where(ends, true - false, -np.inf)
    return float(sorted_probability[int(np.argmax(gain))])


def _loss(logit: Floats, target: Floats) -> float:
    return float((np.logaddexp(0.0, logit) - target * logit).sum())
