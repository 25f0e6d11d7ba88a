"""Upkeep of results between runs: count them, let failures be tried again, forget studies."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Shard
from longllava_domains.archive.outcome import Status
from longllava_domains.archive.results.documents import ForgottenDocuments, lies_inside
from longllava_domains.archive.results.parts import Parts, writing
from longllava_domains.archive.results.store import ResultStore, spec_folder
from longllava_domains.arguments import checked
from longllava_domains.errors import DamagedInputError, NotFoundError, OutputError

_SPEC_FOLDER: Final = re.compile(r"spec-([0-9a-f]{16})\Z")
_LEDGER_FOLDER: Final = re.compile(r"([0-9a-f]{16})-(\d+)-of-(\d+)\Z")
_FAILED: Final[tuple[Status, ...]] = ("failed",)

_ITEM_ID: Final = re.compile(r"[0-9a-f]{32}\Z")

Choose = Callable[[pa.Table], pa.Array]


@dataclass(frozen=True)
class Forgotten:
    """Rows and documents of a study that were deleted, and documents that were not there.

    Attributes:
        rows: Rows of results that went.
        documents: SR and FHIR documents outside the results that went. Copies that were sent on are
            not reached.
        left: Names of documents as the rows had them, relative to the results, that were not
            deleted: they were moved away, or are gone.
    """

    rows: int = 0
    documents: int = 0
    left: tuple[str, ...] = ()


def specs(output: Path) -> list[ScoringSpec]:
    """Return what the results in a folder were asked.

    Raises:
        NotFoundError: There are no results.
        DamagedInputError: What says so cannot be read.
    """
    found = []
    for folder in sorted((output / "parts").glob("spec-*")):
        try:
            content = json.loads((folder / "_spec.json").read_text())
            found.append(ScoringSpec(**content))
        except (OSError, ValueError, TypeError):
            raise DamagedInputError(
                "A file that says what the results were asked cannot be read.",
                remedy="Restore _spec.json beside the parts, or run the archive again.",
                code="archive.spec",
            ) from None
    if not found:
        raise NotFoundError(
            "There are no results in this folder."
            if output.is_dir()
            else "This is a file, and no folder of results."
            if output.exists()
            else "There is no folder of results at this path.",
            remedy="Give the folder that a run wrote to.",
            code="archive.no_results",
        )
    return found


@checked
def counts(output: Path) -> dict[str, Counter[str]]:
    """Return, for each spec's key, the number of items by status, as the parts have it.

    Raises:
        NotFoundError: There are no results.
        DamagedInputError: A part cannot be read.
    """
    counted = {}
    for spec in specs(output):
        parts = _parts(output, spec)
        counted[spec.key] = Counter(
            status for name in parts.names() for _, _, status in parts.states(name)
        )
    return counted


@checked
def retry(
    output: Path, *, statuses: Collection[Status] = _FAILED, ledger: Path | None = None
) -> int:
    """Drop outcomes, so that the next run tries their items again; return how many.

    Args:
        output: Folder of the results.
        statuses: Outcomes to drop.
        ledger: Folder of the ledger, if it is not below `output`.

    Raises:
        OutputError: A run is under way, or the results cannot be written.
    """
    return _drop(output, ledger, lambda table: pc.is_in(table["status"], pa.array(list(statuses))))


def items_of(output: Path, key: str) -> dict[str, str]:
    """Return item id -> study key of the rows that a study key or an item id stands for.

    Raises:
        NotFoundError: There are no results.
        DamagedInputError: A part cannot be read.
    """
    found: dict[str, str] = {}
    for spec in specs(output):
        parts = _parts(output, spec)
        for name in parts.names():
            rows = parts.read(name, ["item_id", "study_key"]).to_pylist()
            found |= {row["item_id"]: row["study_key"] for row in rows if key in row.values()}
    return found


def forget_items(
    output: Path | None,
    item_ids: Collection[str],
    *,
    ledger: Path | None = None,
    documents: Path | None = None,
) -> Forgotten:
    """Delete all rows and files of items, their documents, and reports that may name them.

    Parts that were set aside as corrupt go, too: what they hold of an item cannot be told.

    Args:
        output: Folder of the results; None for documents alone.
        item_ids: The items.
        ledger: Folder of the ledger, if it is not below `output`.
        documents: Folder to look through for documents of the items, with all below it, beside
            those that rows name.

    Raises:
        NotFoundError: There are no results, or no such folder of documents.
        OutputError: A run is under way, or the results cannot be written.
    """
    if documents is not None and not documents.is_dir():
        raise NotFoundError(
            "There is no folder of documents of this name.",
            remedy="Check --documents, or leave it out where none were moved.",
            code="archive.no_documents",
        )
    gone = ForgottenDocuments(output or Path(), frozenset(item_ids))
    dropped = 0
    if documents is not None:
        gone.delete_below(documents)
    if output is not None:
        dropped = _forget_rows(output, item_ids, ledger, gone)
    return Forgotten(dropped, gone.deleted, tuple(sorted(gone.left)))


def _forget_rows(
    output: Path, item_ids: Collection[str], ledger: Path | None, documents: ForgottenDocuments
) -> int:
    wanted = pa.array(list(item_ids), pa.string())

    def before(parts: Parts) -> None:
        documents.delete(parts)
        parts.delete_corrupt()

    dropped = _drop(output, ledger, lambda table: pc.is_in(table["item_id"], wanted), before)
    with writing():
        for report in output.glob("report*.*"):
            report.unlink()
        _delete_folders(output, item_ids)
    return dropped


def _drop(
    output: Path,
    ledger: Path | None,
    choose: Choose,
    before: Callable[[Parts], None] | None = None,
) -> int:
    """Put parts without the chosen rows in the place of those that have some.

    Args:
        output: Folder of the results.
        ledger: Folder of the ledger, if it is not below `output`.
        choose: From a part's rows to which of them go.
        before: Called with the parts of each spec while all rows are there.
    """
    _require_ledger(ledger)
    dropped = 0
    for spec in specs(output):
        for shard in _shards(output, ledger, spec.key):
            with ResultStore(output, spec, shard=shard, ledger=ledger) as store:
                if store.others():
                    raise OutputError(
                        "A run is under way on these results.",
                        remedy="Let it end, or stop it with SIGTERM, and try again.",
                        code="archive.busy",
                    )
                store.commit()
                if before is not None:
                    before(store.parts)
                dropped += _drop_from(output, store, choose)
    return dropped


def _drop_from(output: Path, store: ResultStore, choose: Choose) -> int:
    dropped = 0
    for name in store.parts.names():
        table = store.parts.read(name)
        chosen = choose(table)
        going = table.filter(chosen)
        if not len(going):
            continue
        _delete_files(output, going)
        store.parts.replace(name, table.filter(pc.invert(chosen)))
        with store.ledger.change():
            store.ledger.forget_attempts(going["fingerprint"].to_pylist())
        dropped += len(going)
    store.recover()
    return dropped


def _delete_files(output: Path, table: pa.Table) -> None:
    """Delete the files of items; a name that leads out of the results is left alone here."""
    for names in table["files"].to_pylist():
        for name in names:
            if lies_inside(output, name):
                with writing():
                    (output / name).resolve().unlink(missing_ok=True)


def _delete_folders(output: Path, item_ids: Collection[str]) -> None:
    """Delete the folders of items: their names are keyed ids, and a stopped search left answers."""
    for spec in (output / "items").glob("spec-*"):
        for item_id in filter(_ITEM_ID.match, item_ids):
            if (spec / item_id).is_dir():
                shutil.rmtree(spec / item_id)


def _require_ledger(ledger: Path | None) -> None:
    if ledger is not None and not ledger.is_dir():
        raise NotFoundError(
            "There is no folder of a ledger at this path.",
            remedy="Give the folder that the run was given with --ledger, or leave --ledger out.",
            code="archive.no_ledger",
        )


def _shards(output: Path, ledger: Path | None, spec_key: str) -> Iterator[Shard]:
    found = False
    for folder in sorted((ledger or output / "ledger").glob("*-of-*")):
        match = _LEDGER_FOLDER.match(folder.name)
        if match and match[1] == spec_key:
            found = True
            yield Shard(int(match[2]), int(match[3]))
    if not found:
        yield Shard()


def _parts(output: Path, spec: ScoringSpec) -> Parts:
    return Parts(spec_folder(output, spec.key), "reader")
