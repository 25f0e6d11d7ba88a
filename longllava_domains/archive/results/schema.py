"""The published columns of a result part, and rows as they travel to it.

Results are pseudonymised, not anonymous: they name items by keyed id, and whoever holds the site
secret and the archive can tie them to patients again.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from longllava_domains.archive.fingerprint import ScoringSpec, fingerprint
from longllava_domains.archive.item import Item
from longllava_domains.archive.outcome import Outcome
from longllava_domains.archive.scorer import Scored
from longllava_domains.provenance import RESEARCH_NOTICE

VERSION: Final = "1"
# Two runs over the same archive agree in all other columns.
VARYING: Final = ("attempts", "seconds", "peak_memory_bytes", "finished")

Row = dict[str, Any]

_COLUMNS: Final[tuple[tuple[str, pa.DataType, str], ...]] = (
    ("fingerprint", pa.string(), "Stands for item and spec together; unique in a folder."),
    ("item_id", pa.string(), "Keyed id of the item."),
    ("study_key", pa.string(), "HMAC-SHA256 of the study UID under the site secret."),
    ("domain", pa.string(), "ct, pathology or remote_sensing."),
    ("task", pa.string(), "What was asked."),
    ("spec", pa.string(), "Stands for model, adapter, prompt and policy; see _spec.json beside the parts."),
    ("status", pa.string(), "done, refused or failed."),
    ("code", pa.string(), "Stable code of a refusal or failure; empty for done."),
    ("attempts", pa.int32(), "How often the item was tried."),
    ("text", pa.string(), "Generated text; empty where the task has none."),
    (
        "findings",
        pa.list_(
            pa.struct(
                [
                    ("label", pa.string()),
                    ("yes_logit_margin", pa.float64()),
                    ("probability", pa.float64()),
                ]
            )
        ),
        "Labels with log-odds of yes, and probability where the model is calibrated.",
    ),
    ("numbers", pa.map_(pa.string(), pa.float64()), "Further results of the task."),
    ("files", pa.list_(pa.string()), "Files of this item, relative to the results."),
    ("input_sha256", pa.string(), "Digest of the pixels that were seen."),
    ("demo", pa.bool_(), "The demonstration model answered: the result means nothing."),
    ("bytes", pa.int64(), "Of the item's files."),
    ("seconds", pa.map_(pa.string(), pa.float64()), "Stage -> time."),
    ("peak_memory_bytes", pa.int64(), "Highest resident memory of the process so far."),
    ("finished", pa.timestamp("s", tz="UTC"), "When the outcome was known, by this machine's clock."),
)  # fmt: skip

SCHEMA: Final = pa.schema(
    [pa.field(name, kind, nullable=False) for name, kind, _ in _COLUMNS],
    metadata={
        "longllava_schema": VERSION,
        "notice": f"{RESEARCH_NOTICE} Pseudonymised, not anonymous.",
    },
)


def published() -> dict[str, Any]:
    """Return the schema as JSON, for the file that lies beside the results."""
    columns = [
        {"name": name, "type": str(kind), "meaning": meaning} for name, kind, meaning in _COLUMNS
    ]
    return {"schema": VERSION, "notice": RESEARCH_NOTICE, "columns": columns}


def row_of(
    item: Item,
    spec: ScoringSpec,
    outcome: Outcome,
    scored: Scored | None = None,
    *,
    seconds: Mapping[str, float] | None = None,
    peak_memory_bytes: int = 0,
) -> Row:
    """Return the row of one item.

    Args:
        item: The item.
        spec: What was asked of which model.
        outcome: How it ended.
        scored: What the scorer said; None where it did not get so far.
        seconds: Stages that the engine measured.
        peak_memory_bytes: Of the process.
    """
    said = scored or Scored()
    return {
        "fingerprint": fingerprint(item.item_id, spec.key),
        "item_id": item.item_id,
        "study_key": item.study_key,
        "domain": item.domain,
        "task": spec.task,
        "spec": spec.key,
        "status": outcome.status,
        "code": outcome.code,
        "attempts": outcome.attempts,
        "text": said.text,
        "findings": [vars(finding) for finding in said.findings],
        "numbers": {name: float(value) for name, value in said.numbers.items()},
        "files": list(said.files),
        "input_sha256": said.input_sha256,
        "demo": said.demo,
        "bytes": item.bytes,
        "seconds": {**(seconds or {}), **said.seconds},
        "peak_memory_bytes": peak_memory_bytes,
        "finished": int(datetime.now(UTC).timestamp()),
    }


def pack(row: Row) -> str:
    """Return a row as text for the ledger."""
    return json.dumps(row, separators=(",", ":"))


def unpack(text: str) -> Row:
    """Return the row that `pack` wrote."""
    row: Row = json.loads(text)
    return row


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table, in the order of their fingerprints."""
    ordered = sorted(rows, key=lambda row: str(row["fingerprint"]))
    columns = [
        pa.array([_cell(row[field.name]) for row in ordered], type=field.type) for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _cell(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value
