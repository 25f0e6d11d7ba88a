"""`score_own`: a site's labels against a model's scores, by subgroup, small cells suppressed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.own.figures import Booleans, GroupFigures, Scans, measure
from longllava_domains.evaluate.own.labels import SiteLabels, read_site_labels
from longllava_domains.evaluate.own.scores import ModelScores, Score, read_scores
from longllava_domains.evaluate.predictions import Source
from longllava_domains.provenance import RESEARCH_NOTICE

SMALLEST: Final = 10
"""Least patients behind a figure that is shown."""

WHOLE: Final = "all"


@dataclass(frozen=True)
class OwnResult:
    """A model measured on a site's own labels.

    Attributes:
        cells: Label -> subgrouping -> group -> figures; `WHOLE` is the subgrouping of all scans.
        curves: Label -> calibration curve (mean probability, share present), where probabilities
            are known and bins are not too small.
        counts: Scans labelled, scored, and without a score by reason.
        settings: Every choice.
        notes: What must be read beside the numbers.
    """

    cells: Mapping[str, Mapping[str, Mapping[str, GroupFigures]]]
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    counts: Mapping[str, int]
    settings: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything that is shown, as JSON."""
        return {
            "notice": RESEARCH_NOTICE,
            "counts": dict(self.counts),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "findings": {
                label: {
                    way: {name: _cell_json(cell) for name, cell in groups.items()}
                    for way, groups in ways.items()
                }
                for label, ways in self.cells.items()
            },
        }


def score_own(
    labels: Source,
    results: str | Path,
    *,
    linkage: Path | None = None,
    spec: str | None = None,
    findings: Sequence[str] | None = None,
    threshold: float = 0.5,
    smallest: int = SMALLEST,
    draws: int = 1000,
    seed: int = 0,
) -> OwnResult:
    """Measure a model on a site's own labels.

    Args:
        labels: The site's table; see `read_site_labels`.
        results: Where the model's scores lie; see `read_scores`.
        linkage: The archive's linkage file, where the table names study UIDs.
        spec: Key of the spec of an archive's results, where there are several.
        findings: Columns of the table that are findings; by default all that hold 0 and 1.
        threshold: Probability from which a finding counts as present; a margin counts from 0.
        smallest: Least patients behind a figure that is shown.
        draws: Of patients, for intervals of 95 %.
        seed: Of the draws.

    Raises:
        InputError: A file cannot be read, no scan has both, or no finding is in both.
        PolicyError: A choice that cannot be followed.
    """
    _require_settings(threshold, smallest, draws)
    site = read_site_labels(labels, findings)
    model = read_scores(Path(results), site.id_column, linkage, spec)
    both = np.array([name in model.by_scan for name in site.ids], bool)
    shared = _shared_labels(site, model)
    cells, curves, calibrated = {}, {}, []
    for label in shared:
        scans, inside = _scans_of(label, site, model, threshold)
        if scans is None:
            continue
        calibrated.append(scans.are_probabilities)
        cells[label] = _by_group(scans, inside, site, smallest, draws, seed)
        if scans.are_probabilities:
            curves[label] = _curve(scans, smallest)
    return OwnResult(
        cells, {label: curve for label, curve in curves.items() if curve[0]},
        {
            "labelled": len(site.ids),
            "scored": int(both.sum()),
            "labelled without a result": int((~both).sum()),
            "results without a label": len(set(model.by_scan) - set(site.ids)),
            **{f"not scored: {code}": count for code, count in model.not_done.items()},
        },
        {
            "threshold": threshold, "smallest": smallest, "draws": draws, "seed": seed, "level": 0.95,
            "drawn": "patients" if site.has_patients else "scans", "models": list(model.models),
        },
        _notes(site, model, shared, all(calibrated)),
    )  # fmt: skip


def _require_settings(threshold: float, smallest: int, draws: int) -> None:
    ranges = {
        "threshold": (threshold, 0 < threshold < 1, "a probability between 0 and 1, such as 0.4"),
        "smallest": (smallest, smallest >= 1, "a number of patients of at least 1"),
        "draws": (draws, draws >= 2, "a whole number of at least 2"),
    }
    for name, (value, holds, wanted) in ranges.items():
        if not holds:
            raise PolicyError(
                f"{name} cannot be {value:g}.", remedy=f"Give {wanted}.", code="own.settings"
            )


def _shared_labels(site: SiteLabels, model: ModelScores) -> list[str]:
    if not any(name in model.by_scan for name in site.ids):
        raise InputError(
            "No scan of the table has a result.",
            remedy="Let the table name scans as the results do.",
            code="own.match",
        )
    scored = {label for scores in model.by_scan.values() for label in scores}
    shared = [label for label in site.labels if label in scored]
    if not shared:
        raise InputError(
            "No finding of the table is one that the model scored.",
            remedy="Call the columns as the model's labels are called.",
            code="own.labels",
        )
    return shared


def _notes(
    site: SiteLabels, model: ModelScores, shared: Sequence[str], calibrated: bool
) -> tuple[str, ...]:
    notes = ["the numbers hold for the scans of this site and for nothing else"]
    if model.demo:
        notes.append("scored by the demonstration model: the numbers mean nothing")
    if not calibrated:
        notes.append("without a calibration: findings count as present from a margin of 0")
    if not site.has_patients:
        notes.append("the table names no patients: scans of one patient are taken as independent")
    if model.not_done:
        notes.append(f"{sum(model.not_done.values())} scans have no score and are in no figure")
    left = [label for label in site.labels if label not in shared]
    if left:
        notes.append(f"not scored by the model: {', '.join(left)}")
    return tuple(notes)


def _scans_of(
    label: str, site: SiteLabels, model: ModelScores, threshold: float
) -> tuple[Scans | None, Booleans]:
    scores = [model.by_scan.get(name, {}).get(label) for name in site.ids]
    truths = [row[label] for row in site.truth]
    inside = np.array(
        [s is not None and t is not None for s, t in zip(scores, truths, strict=True)], bool
    )
    known = [
        score for score, kept in zip(scores, inside, strict=True) if kept and score is not None
    ]
    if not known:
        return None, inside
    calibrated = all(score.probability is not None for score in known)
    values = np.array([_value(score, calibrated=calibrated) for score in known], np.float64)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(site.patients))}
    patients = np.array([numbers[name] for name in site.patients], np.int64)[inside]
    truth = np.array([bool(t) for t in truths], bool)[inside]
    called = values >= (threshold if calibrated else 0.0)
    return Scans(truth, values, called, patients, calibrated), inside


def _value(score: Score, *, calibrated: bool) -> float:
    if calibrated:
        assert score.probability is not None
        return score.probability
    if score.margin is not None:
        return score.margin
    assert score.probability is not None
    share = min(max(score.probability, 1e-12), 1 - 1e-12)
    return math.log(share / (1 - share))


def _by_group(
    scans: Scans, inside: Booleans, site: SiteLabels, smallest: int, draws: int, seed: int
) -> dict[str, dict[str, GroupFigures]]:
    found = {WHOLE: {WHOLE: measure(scans, smallest, draws, seed)}}
    for way, names in site.groups.items():
        own = np.array(names)[inside]
        groups = {
            name: measure(scans.at(own == name), smallest, draws, seed)
            for name in sorted(set(own.tolist()))
        }
        found[way] = _without_what_could_be_deduced(groups)
    return found


def _without_what_could_be_deduced(groups: dict[str, GroupFigures]) -> dict[str, GroupFigures]:
    """Hide the counts of a second group where one alone is hidden: a difference would reveal it."""
    hidden = [name for name, cell in groups.items() if cell.patients is None]
    shown = {name: cell.patients for name, cell in groups.items() if cell.patients is not None}
    if len(hidden) != 1 or not shown:
        return groups
    least = min(shown, key=lambda name: min(shown[name]))
    return {**groups, least: GroupFigures(None, groups[least].figures)}


def _curve(scans: Scans, smallest: int) -> tuple[list[float], list[float]]:
    """Return the calibration curve, without bins of too few patients."""
    bins = np.minimum((scans.scores * 10).astype(int), 9)
    mean, share = [], []
    for number in range(10):
        inside = bins == number
        if len(set(scans.patients[inside])) >= smallest:
            mean.append(float(scans.scores[inside].mean()))
            share.append(float(scans.truth[inside].mean()))
    return mean, share


def _cell_json(cell: GroupFigures) -> dict[str, Any]:
    return {
        "patients": None if cell.patients is None else list(cell.patients),
        **{
            name: {"value": f.value, "interval": [f.interval.low, f.interval.high]}
            for name, f in cell.figures.items()
        },
    }
