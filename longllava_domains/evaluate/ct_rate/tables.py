"""Rows of CT-RATE predictions and labels as matrices: volumes by labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import InputError
from longllava_domains.evaluate.ct_rate.volumes import VOLUME_FIELDS, parse_volume, plain_name
from longllava_domains.evaluate.multilabel import Booleans
from longllava_domains.evaluate.predictions import Counts, Matching, Row, Source, read_table
from longllava_domains.evaluate.predictions.matching import pair_rows
from longllava_domains.evaluate.statistic import Floats

# Where a row holds its labels together: as a mapping, or as a list in the order of the labels.
_SCORES: Final = ("probabilities", "scores", "predictions", "prediction")
_TRUTHS: Final = ("labels", "ground_truth", "truth")
# The bootstrap script of CT-CLIP shortens the second label.
_ALIASES: Final = {"calcification": "Arterial wall calcification"}
_WORDS: Final = {"yes": 1.0, "present": 1.0, "true": 1.0, "no": 0.0, "absent": 0.0, "false": 0.0}


@dataclass(frozen=True)
class LabelTable:
    """Scores beside truths.

    Attributes:
        names: (volumes,) names without suffix.
        labels: (labels,) names of the columns.
        truth: (volumes, labels).
        scores: (volumes, labels), from 0 to 1. For a missing prediction that is counted wrong it
            is the opposite of the truth.
        counts: How many rows were read, missing and so on.
        notes: Sentences for the card.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    truth: Booleans
    scores: Floats
    counts: Counts
    notes: tuple[str, ...]

    def patients(self) -> tuple[str, ...] | None:
        """Return the patient of each volume, None where names are not CT-RATE's."""
        volumes = [parse_volume(name) for name in self.names]
        return None if None in volumes else tuple(v.patient for v in volumes if v is not None)


def read_labels(
    predictions: Source,
    references: Source | None,
    how: Matching,
    *,
    labels: Sequence[str] | None = None,
    absent_score: float | None = None,
) -> LabelTable:
    """Read predictions and labels, and put them beside each other.

    Args:
        predictions: Rows or file: a column for each label, or a mapping of label -> score under
            ``probabilities`` or ``scores``, or VLM3D's submission as it is uploaded.
        references: CT-RATE's label file or rows, None where the prediction rows also hold
            ``labels``.
        how: The user's choices about missing and repeated volumes.
        labels: Names of the columns; by default those of the 18 that the references have.
        absent_score: Score of a label that a row lacks; None makes such a row unusable.

    Raises:
        InputError: No label stands in the references, or a truth is neither 0 nor 1.
        PolicyError: Volumes are missing and no policy was chosen.
    """
    given = read_table(predictions, "predictions")
    known = given if references is None else read_table(references, "references")
    named = CT_RATE_LABELS if labels is None else tuple(labels)
    answered = _unwrapped(given.rows)
    rows = [_flat(row, _SCORES, named) for row in answered]
    labelled = answered if references is None else known.rows
    truths = [_flat(row, _TRUTHS, named) for row in labelled]
    columns = tuple(labels or (name for name in named if any(name in row for row in truths)))
    if not columns:
        raise InputError(
            "No row of the references has a column of a CT-RATE label.",
            remedy="Give the label file of the release, or name the columns with labels=.",
            code="ct_rate.no_labels",
        )
    pairing = pair_rows(
        rows, None if references is None else truths, how,
        usable=lambda row: _scores(row, columns, absent_score) is not None,
        notes=tuple(dict.fromkeys(given.notes + known.notes)), id_fields=VOLUME_FIELDS,
    )  # fmt: skip
    truth = np.array([_truth(truths[pair.position], columns) for pair in pairing.pairs])
    scores = np.array([
        1.0 - found if pair.prediction is None else _scores(pair.prediction, columns, absent_score)
        for pair, found in zip(pairing.pairs, truth, strict=True)
    ])  # fmt: skip
    notes = pairing.notes
    if len(columns) < len(CT_RATE_LABELS) and labels is None:
        notes += (f"{len(columns)} of the 18 labels",)
    names = tuple(plain_name(pair.id) for pair in pairing.pairs)
    return LabelTable(names, columns, truth, scores, pairing.counts, notes)


def baseline_scores(references: Source) -> dict[str, list[dict[str, Any]]]:
    """Return scores that need no model: the labels themselves, all findings, and none.

    Args:
        references: The label file or rows.
    """
    rows = [
        _flat(row, _TRUTHS, CT_RATE_LABELS) for row in read_table(references, "references").rows
    ]
    labels = [name for name in CT_RATE_LABELS if any(name in row for row in rows)]

    def filled(score: float | None) -> list[dict[str, Any]]:
        return [
            {k: score if score is not None and k in labels else v for k, v in row.items()}
            for row in rows
        ]

    return {"oracle": filled(None), "always present": filled(1.0), "always absent": filled(0.0)}


def _unwrapped(rows: Sequence[Row]) -> Sequence[Row]:
    """Take the predictions out of the envelope that Grand Challenge puts around a submission."""
    if len(rows) == 1 and isinstance(outputs := rows[0].get("outputs"), list) and outputs:
        value = outputs[0].get("value") if isinstance(outputs[0], Mapping) else None
        inner = value.get("predictions") if isinstance(value, Mapping) else None
        if isinstance(inner, list) and all(isinstance(row, Mapping) for row in inner):
            return inner
    return rows


def _flat(row: Row, nested: Sequence[str], labels: tuple[str, ...]) -> dict[str, Any]:
    """Return a row with a column for each label, under the labels' own names."""
    values: dict[str, Any] = dict(row)
    for field in nested:
        found = row.get(field)
        if isinstance(found, Mapping):
            values |= found
        elif isinstance(found, (list, tuple)) and len(found) == len(labels):
            values |= zip(labels, found, strict=True)
    flat = {_column(str(key), labels): value for key, value in values.items()}
    for field in VOLUME_FIELDS:
        if isinstance(flat.get(field), str):
            flat[field] = plain_name(flat[field])
    return flat


@lru_cache(maxsize=4096)
def _column(name: str, labels: tuple[str, ...]) -> str:
    """Return the label that a column's name means, the name itself where it means none."""
    plain = name.strip().lower()
    if plain in _ALIASES and labels == CT_RATE_LABELS:
        return _ALIASES[plain]
    return next((label for label in labels if label.lower() == plain), name)


def _scores(row: Row, labels: Sequence[str], absent: float | None) -> list[float] | None:
    found = [absent if name not in row else _number(row[name]) for name in labels]
    return None if None in found else [value for value in found if value is not None]


def _truth(row: Row, labels: Sequence[str]) -> list[bool]:
    found = [_number(row.get(name)) for name in labels]
    if not set(found) <= {0.0, 1.0}:
        raise InputError(
            "A label of the references is neither 0 nor 1.",
            remedy="Give the label file of the release; uncertain labels cannot be scored.",
            code="ct_rate.truth",
        )
    return [value == 1.0 for value in found]


def _number(value: object) -> float | None:
    """Read a score: a number, its text, or the word yes or no."""
    if isinstance(value, (bool, int, float)):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        number = float(value)
    except ValueError:
        return _WORDS.get(value.split()[0].strip(".,;:!").lower())
    return number if math.isfinite(number) else None


def one_per(table: LabelTable, unit: str, choose: str) -> LabelTable:
    """Return one row for each scan or patient.

    Args:
        table: One row for each volume.
        unit: ``"scan"`` or ``"patient"``.
        choose: ``"first"`` or ``"last"`` reconstruction of the first or last scan, or the
            ``"mean"`` or ``"max"`` of all scores, with a label true where it is in any of them.

    Raises:
        InputError: A name is not one of CT-RATE's, so its patient is not known.
    """
    volumes = [parse_volume(name) for name in table.names]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, volume in enumerate(volumes):
        if volume is None:
            raise InputError(
                f"Row {index} has no name of CT-RATE, so its {unit} is not known.",
                remedy='Choose unit="volume".',
                code="ct_rate.name",
            )
        key = (volume.patient,) if unit == "patient" else (volume.patient, volume.scan)
        groups.setdefault(key, []).append(index)
    members = [sorted(rows, key=lambda row: (volumes[row],)) for rows in groups.values()]
    if choose in ("first", "last"):
        picked = [rows[0 if choose == "first" else -1] for rows in members]
        truth, scores = table.truth[picked], table.scores[picked]
    else:
        join = np.mean if choose == "mean" else np.max
        picked = [rows[0] for rows in members]
        truth = np.array([table.truth[rows].any(axis=0) for rows in members])
        scores = np.array([join(table.scores[rows], axis=0) for rows in members])
    return replace(
        table,
        names=tuple(table.names[row] for row in picked),
        truth=truth,
        scores=scores,
        notes=(*table.notes, f"{len(members)} {unit}s from {len(table.names)} volumes ({choose})"),
    )
