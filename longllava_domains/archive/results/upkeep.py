"""Upkeep of results between runs: count them, let failures be tried again, forget studies."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Shard
from longllava_domains.archive.outcome import Status
from longllava_domains.archive.results.parts import Parts, writing
from longllava_domains.archive.results.store import ResultStore, spec_folder
from longllava_domains.errors import DamagedInputError, NotFoundError, OutputError

_SPEC_FOLDER: Final = re.compile(r"spec-([0-9a-f]{16})\Z")
_LEDGER_FOLDER: Final = re.compile(r"([0-9a-f]{16})-(\d+)-of-(\d+)\Z")
_FAILED: Final[tuple[Status, ...]] = ("failed",)

Choose = Callable[[pa.Table], pa.Array]


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
            "There are no results in this folder.",
            remedy="Give the folder that a run wrote to.",
            code="archive.no_results",
        )
    return found


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


def forget_items(output: Path, item_ids: Collection[str], *, ledger: Path | None = None) -> int:
    """Delete all rows and files of items, and reports that may name them; return the rows.

    Raises:
        OutputError: A run is under way, or the results cannot be written.
    """
    wanted = pa.array(list(item_ids), pa.string())
    dropped = _drop(output, ledger, lambda table: pc.is_in(table["item_id"], wanted))
    with writing():
        for report in output.glob("report.*"):
            report.unlink()
    return dropped


def _drop(output: Path, ledger: Path | None, choose: Choose) -> int:
    """Put parts without the chosen rows in the place of those that have some."""
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
    """Delete the files of items; a name that leads out of the results is left alone."""
    root = output.resolve()
    for names in table["files"].to_pylist():
        for name in names:
            place = (output / name).resolve()
            if place.is_relative_to(root):
                with writing():
                    place.unlink(missing_ok=True)


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
