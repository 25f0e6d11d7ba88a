"""A model's scores of scans: an archive's results, a folder of reports, or a table."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    NotFoundError,
    PolicyError,
)
from longllava_domains.evaluate.own.labels import ID_COLUMNS, scan_name
from longllava_domains.evaluate.predictions import Row, read_table

_SPEC: Final = "spec-"  # how the folder of a spec's parts begins, before its key


@dataclass(frozen=True)
class Score:
    """One finding of one scan.

    Attributes:
        margin: Log-odds of yes, None where only a probability is known.
        probability: From 0 to 1, None without a calibration.
    """

    margin: float | None
    probability: float | None


@dataclass(frozen=True)
class ModelScores:
    """Scores that a model gave to scans.

    Attributes:
        by_scan: Name of a scan -> label -> score.
        not_done: Code -> scans without scores.
        models: What made them, as far as it is told.
        demo: Whether the demonstration model did.
    """

    by_scan: Mapping[str, Mapping[str, Score]]
    not_done: Mapping[str, int]
    models: tuple[str, ...]
    demo: bool = False


def read_scores(
    place: Path, id_column: str, linkage: Path | None = None, spec: str | None = None
) -> ModelScores:
    """Read scores from wherever they lie.

    Args:
        place: A folder of archive results (``parts/*/*.parquet``), a folder of report JSONs named by
            scan, or a file with a row for each scan: an id, and a probability for each label in a
            column of its own or under ``probabilities``.
        id_column: The column that names scans in the site's table, in lower case.
        linkage: The archive's linkage file, for a table that names study UIDs.
        spec: Key of the spec whose archive results are read, where there are several.

    Raises:
        NotFoundError: Nothing of these is there.
        PolicyError: Results of several models or questions and no spec or a strange one, a spec of
            what has none, or study UIDs without a linkage file.
        AmbiguousInputError: A scan has several results.
        DamagedInputError: A file cannot be read.
    """
    parts = sorted(place.glob("parts/*/*.parquet"))
    if parts:
        return _from_archive(_of_spec(parts, spec), id_column, linkage)
    if spec is not None:
        raise PolicyError(
            "A spec is named, and these are no results of an archive run.",
            remedy="Leave --spec out, or give the folder that archive run wrote to.",
            code="own.specs",
        )
    if place.is_file():
        return _from_table(read_table(place, "results").rows)
    reports = sorted(place.glob("*.json"))
    if not reports:
        raise NotFoundError(
            "There are no results at that place.",
            remedy="Give an archive's results, a folder of reports as JSON, or a table of scores.",
            code="own.results",
        )
    return _from_reports(reports)


def _of_spec(parts: list[Path], spec: str | None) -> list[Path]:
    """Return the parts of one spec, which must be named where there are several."""
    keys = sorted({part.parent.name.removeprefix(_SPEC) for part in parts})
    wanted = None if spec is None else spec.removeprefix(_SPEC)
    if wanted is None and len(keys) == 1:
        return parts
    if wanted not in keys:
        models = f"{len(keys)} models or questions" if len(keys) > 1 else "one model and question"
        raise PolicyError(
            f"The folder holds results of {models}"
            + (", and none is chosen." if wanted is None else ", and none has that key."),
            remedy=f"Choose one of them with --spec: {', '.join(keys)}.",
            code="own.specs",
        )
    return [part for part in parts if part.parent.name.removeprefix(_SPEC) == wanted]


def _from_archive(parts: list[Path], id_column: str, linkage: Path | None) -> ModelScores:
    key = "item_id" if id_column == "item_id" else "study_key"
    uids = _study_uids(linkage) if id_column in ("studyinstanceuid", "study_uid") else None
    found: dict[str, dict[str, Score]] = {}
    not_done: Counter[str] = Counter()
    demo = False
    for part in parts:
        for row in read_table(part).rows:
            demo = demo or bool(row["demo"])
            if row["status"] != "done" or not row["findings"]:
                not_done[str(row["code"] or "withheld")] += 1
                continue
            name = str(row[key])
            name = name if uids is None else uids.get(name, name)
            findings: Any = row["findings"]
            _enter(found, name, {
                each["label"]: Score(each["yes_logit_margin"], each["probability"])
                for each in findings
            })  # fmt: skip
    spec = json.loads((parts[0].parent / "_spec.json").read_text())
    return ModelScores(found, dict(not_done), (str(spec.get("model", "")),), demo)


def _study_uids(linkage: Path | None) -> dict[str, str]:
    if linkage is None:
        raise PolicyError(
            "The table names study UIDs, and results name keys in their place.",
            remedy="Give the archive's linkage file with --linkage.",
            code="own.linkage",
        )
    return {str(row["study_key"]): str(row["study_uid"]) for row in read_table(linkage).rows}


def _from_reports(reports: list[Path]) -> ModelScores:
    found: dict[str, dict[str, Score]] = {}
    models, demo = set(), False
    not_done: Counter[str] = Counter()
    for number, path in enumerate(reports, 1):
        try:
            report = json.loads(path.read_bytes())
            made = report["provenance"]
            scores = {
                str(each["label"]): Score(each["yes_logit_margin"], each.get("probability"))
                for each in report["abnormalities"]
            }
            models.add(str(made.get("model_sha256", "")))
            demo = demo or bool(made.get("demo"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DamagedInputError(
                f"File {number} of the folder, in the order of names, is not the JSON of a report.",
                remedy="Save it again: longllava report SCAN --out FILE.json.",
                code="own.report",
            ) from None
        if scores:
            _enter(found, scan_name(path.name) or "", scores)
        else:
            not_done["withheld"] += 1
    if len(models) > 1:
        raise PolicyError(
            f"The reports come from {len(models)} models.",
            remedy="Score those of one model at a time.",
            code="own.specs",
        )
    return ModelScores(found, dict(not_done), tuple(sorted(models)), demo)


def _from_table(rows: tuple[Row, ...]) -> ModelScores:
    found: dict[str, dict[str, Score]] = {}
    not_done: Counter[str] = Counter()
    for place, row in enumerate(rows, 1):
        by_lower = {str(name).strip().lower(): name for name in row}
        column = next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)
        if column is None:
            *others, last = ID_COLUMNS
            raise DamagedInputError(
                f"No column of the scores is known as the id of a scan (row {place}).",
                remedy=f"Call the column of the ids {', '.join(others)} or {last}.",
                code="own.scores",
            )
        name = scan_name(row[column])
        if name is None:
            raise DamagedInputError(
                f"Row {place} of the scores names no scan.",
                remedy="Give every row an id.",
                code="own.scores",
            )
        scores = {label: Score(None, value) for label, value in _numbers(row) if label != column}
        if scores:
            _enter(found, name, scores)
        else:
            not_done["no probability from 0 to 1"] += 1
    if rows and not found:
        raise DamagedInputError(
            "No row of the scores holds a probability from 0 to 1.",
            remedy="Write shares such as 0.7: no per cent (70) and no comma in a number (0,7).",
            code="own.scores",
        )
    return ModelScores(found, dict(not_done), ())


def _numbers(row: Row) -> Iterator[tuple[str, float]]:
    nested = row.get("probabilities")
    for label, value in {**row, **(nested if isinstance(nested, Mapping) else {})}.items():
        try:
            number = float(str(value))
        except ValueError:
            continue
        if math.isfinite(number) and 0 <= number <= 1:
            yield str(label), number


def _enter(found: dict[str, dict[str, Score]], name: str, scores: dict[str, Score]) -> None:
    if name in found:
        raise AmbiguousInputError(
            "A scan has more than one result.",
            remedy="Keep one for each scan, or let the table name items (item_id) in place of studies.",
            code="own.repeated",
        )
    found[name] = scores
