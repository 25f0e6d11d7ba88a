"""The items that a report lists: what was found, what was said, and what did not go well."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from longllava_domains.archive.results.parts import Parts
from longllava_domains.archive.results.store import spec_folder

_COLUMNS: Final = (
    "item_id", "study_key", "domain", "status", "code", "attempts", "text", "findings", "numbers",
    "files",
)  # fmt: skip
_EXCERPT: Final = 160


@dataclass(frozen=True, order=True)
class FindingRow:
    """One label of one item.

    Attributes:
        margin: Log-odds of yes.
        item_id: Keyed id.
        study_key: Keyed id of the study.
        label: The label.
        probability: Where the model is calibrated, else None.
        files: Of the item, relative to the results.
    """

    margin: float
    item_id: str
    study_key: str
    label: str
    probability: float | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class ItemRow:
    """One item.

    Attributes:
        item_id: Keyed id.
        study_key: Keyed id of the study.
        domain: Its domain.
        status: How it ended.
        code: Of a refusal or failure.
        attempts: How often it was tried.
        text: The beginning of what was said.
        numbers: Further results.
        files: Relative to the results.
    """

    item_id: str
    study_key: str
    domain: str
    status: str
    code: str
    attempts: int
    text: str
    numbers: dict[str, float]
    files: tuple[str, ...]


@dataclass(frozen=True)
class ListedRows:
    """Rows that a report lists, and counts of all there are.

    Attributes:
        findings: Those with the highest margins, in falling order.
        findings_in_all: How many there are.
        done: The first items that were scored, in the order of their ids.
        undone: The first items that were refused or have failed.
        undone_in_all: How many of them there are.
        done_in_all: How many items were scored.
    """

    findings: list[FindingRow]
    findings_in_all: int
    done: list[ItemRow]
    done_in_all: int
    undone: list[ItemRow]
    undone_in_all: int


def listed_rows(output: Path, spec_key: str, most: int) -> ListedRows:
    """Return the rows that a report lists, at most `most` of each kind; memory holds no more.

    Raises:
        DamagedInputError: A part cannot be read.
    """
    findings: list[FindingRow] = []
    done: list[tuple[str, ItemRow]] = []
    undone: list[tuple[str, ItemRow]] = []
    counts = [0, 0, 0]
    for row in _rows(output, spec_key):
        for finding in _findings(row):
            counts[0] += 1
            findings.append(finding)
        item = _item(row)
        kind = int(item.status != "done")
        counts[1 + kind] += 1
        (done, undone)[kind].append((item.item_id, item))
        if len(findings) > 2 * most:
            findings = heapq.nlargest(most, findings)
        for kept in (done, undone):
            if len(kept) > 2 * most:
                kept[:] = heapq.nsmallest(most, kept, key=lambda pair: pair[0])
    return ListedRows(
        heapq.nlargest(most, findings),
        counts[0],
        [item for _, item in heapq.nsmallest(most, done, key=lambda pair: pair[0])],
        counts[1],
        [item for _, item in heapq.nsmallest(most, undone, key=lambda pair: pair[0])],
        counts[2],
    )


def _rows(output: Path, spec_key: str) -> Iterator[dict[str, Any]]:
    parts = Parts(spec_folder(output, spec_key), "reader")
    for name in parts.names():
        yield from parts.read(name, _COLUMNS).to_pylist()


def _findings(row: dict[str, Any]) -> Iterator[FindingRow]:
    for finding in row["findings"]:
        yield FindingRow(
            finding["yes_logit_margin"],
            row["item_id"],
            row["study_key"],
            finding["label"],
            finding["probability"],
            tuple(row["files"]),
        )


def _item(row: dict[str, Any]) -> ItemRow:
    text = "".join(sign if sign.isprintable() else " " for sign in row["text"])
    return ItemRow(
        row["item_id"],
        row["study_key"],
        row["domain"],
        row["status"],
        row["code"],
        row["attempts"],
        text[:_EXCERPT] + ("..." if len(text) > _EXCERPT else ""),
        dict(row["numbers"]),
        tuple(row["files"]),
    )
