"""Protocols by which papers and challenges score the 18 findings of CT-RATE."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.ct_rate.tables import (
    LabelTable,
    baseline_scores,
    one_per,
    read_labels,
)
from longllava_domains.evaluate.multilabel import statistics
from longllava_domains.evaluate.predictions import Matching, Source
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Cell, Result
from longllava_domains.evaluate.roc import RULES, auroc, best_threshold

UNITS: Final = ("volume", "scan", "patient")
CHOICES: Final = ("first", "last", "mean", "max")
CUT: Final = 0.5


def score_ct_clip(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    unit: str = "volume",
    reconstruction: str = "first",
    labels: Sequence[str] | None = None,
) -> Result:
    """Score as CT-CLIP does: thresholds fitted on the evaluated set itself.

    A label is called above the one of 100 thresholds from 0 to 1 whose point is nearest to the
    corner of the ROC plot. ``macro/f1_weighted`` is what CT-CLIP calls F1.

    Args:
        predictions: Probability of each label for each volume.
        references: The label file.
        protocol: Name and version.
        how: Choices about missing volumes.
        unit: ``"volume"`` as published, ``"scan"`` or ``"patient"``.
        reconstruction: Which volume stands for a scan or patient: see `one_per`.
        labels: Names of the columns, by default those of the 18 that are there.
    """
    table = _table(predictions, references, how, unit, reconstruction, labels)
    thresholds = _fit(table, "roc-distance")
    note = "thresholds were fitted on the evaluated set itself: the numbers are optimistic"
    headline = ("macro/auroc", "macro/accuracy", "macro/precision", "macro/f1_weighted")
    return _result(table, thresholds, protocol, headline, strictly=True, notes=(note,))


def score_vlm3d(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    unit: str = "volume",
    reconstruction: str = "first",
    labels: Sequence[str] | None = None,
) -> Result:
    """Score as the VLM3D challenge does: called from 0.5 on, and CRG.

    A label that a submission leaves out scores 0. Arguments as `score_ct_clip`.
    """
    table = _table(predictions, references, how, unit, reconstruction, labels, absent_score=0.0)
    headline = (
        "macro/precision",
        "macro/recall",
        "macro/f1",
        "macro/accuracy",
        "macro/auroc",
        "crg",
    )
    return _result(table, dict.fromkeys(table.labels, CUT), protocol, headline)


def score_longllava(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    unit: str = "patient",
    reconstruction: str = "first",
    labels: Sequence[str] | None = None,
) -> Result:
    """Score as the CT-RATE table of the LongLLaVA paper may have: micro averages, one volume per patient.

    The paper names neither averaging nor volume; CT-CLIP's row in that table agrees with this
    reading. Arguments as `score_ct_clip`; yes and no are taken as 1 and 0.
    """
    table = _table(predictions, references, how, unit, reconstruction, labels)
    note = "averaging and choice of volumes are inferred; the paper does not state them"
    headline = ("accuracy", "micro/recall", "micro/precision", "micro/f1")
    return _result(table, dict.fromkeys(table.labels, CUT), protocol, headline, notes=(note,))


def score_fitted(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    threshold: str | float | Mapping[str, float] = "roc-distance",
    fit_predictions: Source | None = None,
    fit_references: Source | None = None,
    unit: str = "patient",
    reconstruction: str = "first",
    labels: Sequence[str] | None = None,
) -> Result:
    """Score with thresholds that were fitted on another split, or given.

    Args:
        predictions: As `score_ct_clip`.
        references: As `score_ct_clip`.
        protocol: Name and version.
        how: Choices about missing volumes.
        threshold: A rule of `RULES`, one number, or label -> number; a label is called above it.
        fit_predictions: Predictions on the split that a rule is fitted on; required by a rule.
        fit_references: Its labels.
        unit: As `score_ct_clip`.
        reconstruction: As `score_ct_clip`.
        labels: As `score_ct_clip`.

    Raises:
        PolicyError: A rule without a split to fit it on, or an unknown rule.
        InputError: The two splits share a patient.
    """
    table = _table(predictions, references, how, unit, reconstruction, labels)
    headline = ("macro/auroc", "macro/f1", "macro/recall", "macro/precision", "crg")
    if isinstance(threshold, str):
        if threshold not in RULES:
            raise _unknown("threshold", threshold, (*RULES, "a number", "label -> number"))
        if fit_predictions is None:
            raise PolicyError(
                "A rule for thresholds needs another split to fit it on.",
                remedy="Give fit_predictions and fit_references, or a threshold as a number.",
                code="ct_rate.fit",
            )
        other = _table(fit_predictions, fit_references, how, unit, reconstruction, table.labels)
        _require_apart(table, other)
        thresholds = _fit(other, threshold)
    elif isinstance(threshold, Mapping):
        thresholds = {label: threshold.get(label) for label in table.labels}
    else:
        thresholds = dict.fromkeys(table.labels, float(threshold))
    return _result(table, thresholds, protocol, headline, strictly=True)


def _table(
    predictions: Source,
    references: Source | None,
    how: Matching,
    unit: str,
    reconstruction: str,
    labels: Sequence[str] | None,
    absent_score: float | None = None,
) -> LabelTable:
    if unit not in UNITS:
        raise _unknown("unit", unit, UNITS)
    if reconstruction not in CHOICES:
        raise _unknown("reconstruction", reconstruction, CHOICES)
    table = read_labels(predictions, references, how, labels=labels, absent_score=absent_score)
    if not ((table.scores >= 0) & (table.scores <= 1)).all():
        raise InputError(
            "A score lies outside 0 to 1, so it is no probability.",
            remedy="Pass margins through a calibration, or at least a logistic function, first.",
            code="ct_rate.score",
        )
    return table if unit == "volume" else one_per(table, unit, reconstruction)


def _fit(table: LabelTable, rule: str) -> dict[str, float | None]:
    return {
        label: best_threshold(table.truth[:, index], table.scores[:, index], rule)
        for index, label in enumerate(table.labels)
    }


def _require_apart(table: LabelTable, other: LabelTable) -> None:
    names, others = (each.patients() or each.names for each in (table, other))
    shared = len(set(names) & set(others))
    if shared:
        raise InputError(
            f"{shared} patients stand in both splits, so a threshold would be fitted on the test.",
            remedy="Fit on volumes of other patients.",
            code="ct_rate.leak",
            facts={"patients": shared},
        )


def _result(
    table: LabelTable,
    thresholds: Mapping[str, float | None],
    protocol: Protocol,
    headline: tuple[str, ...],
    *,
    strictly: bool = False,
    notes: tuple[str, ...] = (),
) -> Result:
    """Call labels at their thresholds and score the calls; a label without one is never called."""
    cuts = np.array([np.inf if (t := thresholds[name]) is None else t for name in table.labels])
    called = table.scores > cuts if strictly else table.scores >= cuts
    found = statistics(table.truth, called, table.labels)
    metrics = {name: statistic.value for name, statistic in found.items()}
    areas = {
        label: area
        for index, label in enumerate(table.labels)
        if (area := auroc(table.truth[:, index], table.scores[:, index])) is not None
    }
    metrics |= {f"class/{label}/auroc": area for label, area in areas.items()}
    if areas:
        metrics["macro/auroc"] = float(np.mean(list(areas.values())))
    one_sided = [label for label in table.labels if label not in areas]
    if one_sided:
        notes += (f"no AUROC, as all cases are of one kind: {', '.join(one_sided)}",)
    return Result(
        benchmark=protocol.benchmark,
        protocol=protocol.label,
        metrics=metrics,
        headline=tuple(name for name in headline if name in metrics),
        counts=table.counts,
        settings={"thresholds": dict(thresholds), "called": "above" if strictly else "from"},
        rows=_rows(table, called),
        statistics=found,
        cluster=None if table.patients() is None else "patient",
        notes=table.notes + notes,
    )


def _rows(table: LabelTable, called: np.ndarray[Any, Any]) -> list[dict[str, Cell]]:
    patients = table.patients()
    heads = [[f"{what}/{label}" for label in table.labels] for what in ("truth", "score", "called")]
    parts = (table.truth.tolist(), table.scores.tolist(), called.tolist())
    rows: list[dict[str, Cell]] = []
    for index, name in enumerate(table.names):
        row: dict[str, Cell] = {"id": name}
        if patients is not None:
            row["patient"] = patients[index]
        for head, part in zip(heads, parts, strict=True):
            row.update(zip(head, part[index], strict=True))
        rows.append(row)
    return rows


def _unknown(name: str, value: str, choices: Sequence[str]) -> PolicyError:
    return PolicyError(
        f"{name} cannot be {value!r}.",
        remedy=f"Choose one of {', '.join(choices)}.",
        code=f"ct_rate.{name}",
    )


_ASK: Final = {"finding": "Is {question} present in this CT scan? Answer yes or no."}

PROTOCOLS: Final = tuple(
    Protocol("ct-rate", name, version, summary, score, prompts, baselines=baseline_scores)
    for name, version, summary, score, prompts in (
        (
            "ct-clip", "a2a155c6",
            "Thresholds nearest to the ROC corner on the test itself; weighted F1 (CT-CLIP paper)",
            score_ct_clip, {"finding": "{question} is present.", "opposite": "{question} is not present."},
        ),
        (
            "vlm3d", "25f9c7bd",
            "Called from 0.5 on, macro averages and CRG (VLM3D challenge)", score_vlm3d, {},
        ),
        (
            "longllava", "2409.02889v1",
            "Micro averages, one volume per patient (our reading of LongLLaVA's CT-RATE table)",
            score_longllava, _ASK,
        ),
        (
            "fitted", "1",
            "Thresholds given, or fitted on other patients", score_fitted, _ASK,
        ),
    )
)  # fmt: skip
