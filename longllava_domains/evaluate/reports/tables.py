"""Reports as CT-RATE and the VLM3D challenge lay them out, beside generated ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.ct_rate.volumes import VOLUME_FIELDS, parse_volume, plain_name
from longllava_domains.evaluate.predictions import Counts, Matching, Row, Source, read_table
from longllava_domains.evaluate.predictions.fields import first_field, require_field, text_of
from longllava_domains.evaluate.predictions.matching import pair_rows

GENERATED: Final = ("generated_report", "prediction", "report", "text", "answer", "response")
SECTIONS: Final = {
    "findings": ("Findings_EN",),
    "impression": ("Impressions_EN",),
    "both": ("Findings_EN", "Impressions_EN"),
}
_WRITTEN: Final = ("report", "reference", "ground_truth", "text", "report_text", "answer")
_NOT_GIVEN: Final = "Not given."
"""What stands in CT-RATE for a section without text."""


@dataclass(frozen=True)
class ReportPairs:
    """Generated reports beside written ones.

    Attributes:
        names: (reports,) names of volumes without suffix, or ids.
        generated: (reports,) texts; empty for one that is missing and counted wrong.
        written: (reports,) texts.
        counts: What was read, missing and so on.
        notes: Sentences for the card.
    """

    names: tuple[str, ...]
    generated: tuple[str, ...]
    written: tuple[str, ...]
    counts: Counts
    notes: tuple[str, ...]

    def patients(self) -> tuple[str, ...] | None:
        """Return the patient of each report, None where names are not CT-RATE's."""
        volumes = [parse_volume(name) for name in self.names]
        return None if None in volumes else tuple(v.patient for v in volumes if v is not None)


def read_reports(
    predictions: Source, references: Source | None, how: Matching, section: str
) -> ReportPairs:
    """Read generated and written reports and pair them by volume.

    Args:
        predictions: Rows with a report, or VLM3D's submission as it is uploaded.
        references: CT-RATE's table of reports, VLM3D's ground truth, or rows with a report; None
            where the prediction rows hold both.
        how: The user's choices about missing and repeated reports.
        section: Of CT-RATE's table: one of `SECTIONS`. Sections without text are left out.

    Raises:
        PolicyError: An unknown section, or missing reports without a policy.
        InputError: The rows cannot be read or do not fit each other.
    """
    if section not in SECTIONS:
        raise PolicyError(
            f"section cannot be {section!r}.",
            remedy=f"Choose one of {', '.join(SECTIONS)}.",
            code="reports.section",
        )
    given = read_table(predictions)
    known = given if references is None else read_table(references)
    rows = [_named(row) for row in _unwrapped(given.rows)]
    truths = rows if references is None else [_named(row) for row in _unwrapped(known.rows)]
    written = _written_field(truths, how)
    names = [name for name in GENERATED if references is not None or name != written]
    field = require_field(rows, names, how.answer_field, "answer_field")
    pairing = pair_rows(
        rows, None if references is None else truths, how,
        usable=lambda row: field in row and text_of(row[field]) is not None,
        notes=tuple(dict.fromkeys(given.notes + known.notes)), id_fields=VOLUME_FIELDS,
    )  # fmt: skip
    pairs = pairing.pairs
    return ReportPairs(
        names=tuple(pair.id for pair in pairs),
        generated=tuple(
            "" if pair.prediction is None else text_of(pair.prediction[field]) or ""
            for pair in pairs
        ),
        written=tuple(_report(pair.reference, written, section) for pair in pairs),
        counts=pairing.counts,
        notes=pairing.notes,
    )


def baseline_reports(references: Source) -> dict[str, list[dict[str, Any]]]:
    """Return reports that need no model: the written ones, and the commonest of them everywhere.

    Args:
        references: As `read_reports`; of CT-RATE's table the findings are taken.
    """
    rows = [_named(row) for row in _unwrapped(read_table(references).rows)]
    field = _written_field(rows, Matching())
    texts = [_report(row, field, "findings") for row in rows]
    ids = [{name: row[name] for name in VOLUME_FIELDS if name in row} for row in rows]
    ((commonest, _),) = Counter(texts).most_common(1)
    return {
        "oracle": [{**own, "report": text} for own, text in zip(ids, texts, strict=True)],
        "always the commonest report": [{**own, "report": commonest} for own in ids],
    }


def _unwrapped(rows: Sequence[Row]) -> Sequence[Row]:
    """Take reports out of the two envelopes that VLM3D puts around them."""
    for row in rows:
        inner: Any = row.get("answer") if row.get("id") == "generated_reports" else None
        outputs = row.get("outputs")
        if isinstance(outputs, list) and outputs and isinstance(outputs[0], Mapping):
            value = outputs[0].get("value")
            inner = value.get("generated_reports") if isinstance(value, Mapping) else None
        if isinstance(inner, list) and all(isinstance(each, Mapping) for each in inner):
            return inner
    return rows


def _named(row: Row) -> dict[str, Any]:
    named = dict(row)
    for field in VOLUME_FIELDS:
        if isinstance(name := named.get(field), str):
            named[field] = plain_name(name)
    return named


def _written_field(rows: Sequence[Row], how: Matching) -> str | None:
    """Return the field of the written report, None where the table has sections."""
    if how.reference_field is None and first_field(rows, SECTIONS["both"]) is not None:
        return None
    return require_field(rows, _WRITTEN, how.reference_field, "reference_field")


def _report(row: Row, field: str | None, section: str) -> str:
    names = SECTIONS[section] if field is None else (field,)
    texts = (text_of(row.get(name)) or "" for name in names)
    return " ".join(text.strip() for text in texts if text.strip() != _NOT_GIVEN).strip()
