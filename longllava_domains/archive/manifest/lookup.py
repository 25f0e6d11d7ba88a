"""From a key in the results back to the study, on the machine that has the linkage; and forgetting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from longllava_domains.archive.manifest.index import ScanIndex
from longllava_domains.archive.manifest.manifest import (
    LINKAGE,
    private_rows,
    private_table,
    reading,
)
from longllava_domains.archive.results.upkeep import Forgotten, forget_items, items_of
from longllava_domains.arguments import checked
from longllava_domains.errors import NotFoundError


@dataclass(frozen=True)
class Origin:
    """Source of an item; patient data.

    Attributes:
        item_id: The item.
        study_key: Its study.
        study_uid: As the header has it; empty where there is none.
        uri: Folder, file or archive.
    """

    item_id: str
    study_key: str
    study_uid: str
    uri: str


@checked
def where(key: str, linkage: Path) -> list[Origin]:
    """Return the items that a study key or an item id stands for.

    Raises:
        NotFoundError: No item has this key, or there is no linkage file.
        DamagedInputError: The linkage file cannot be read.
    """
    found = _linked(key, linkage)
    if not found:
        raise NotFoundError(
            "No item of this linkage file has that key.",
            remedy="Give a study_key or item_id as it stands in the results, and the linkage of "
            "the scan they come from.",
            code="archive.no_key",
        )
    return found


def require_linkage(linkage: Path) -> None:
    """Read a linkage file once, so that what is wrong with it is said first.

    Raises:
        NotFoundError: There is none.
        DamagedInputError: It cannot be read.
    """
    for _ in private_table(linkage, LINKAGE.names):
        return


def _linked(key: str, linkage: Path) -> list[Origin]:
    return [
        Origin(**row)
        for row in private_table(linkage, LINKAGE.names)
        if key in (row["study_key"], row["item_id"])
    ]


@checked
def forget(
    key: str,
    manifest: Path,
    linkage: Path,
    output: Path | None = None,
    *,
    ledger: Path | None = None,
    documents: Path | None = None,
) -> Forgotten:
    """Remove a study from results, its documents, manifest, index and linkage; can be repeated.

    The archive itself is not touched: a study that still lies there comes back with the next scan.

    Args:
        key: A study key, or an item id; all items of its study go.
        manifest: The manifest.
        linkage: The linkage file.
        output: Folder of results to clean, too.
        ledger: Folder of their ledger, if it is not below `output`.
        documents: Folder of documents that no row names, such as of a run that was killed before
            its first row, or one that was moved.

    Returns:
        What went from the results, and names of documents that were not where a run wrote them.

    Raises:
        NotFoundError: No item has this key, or there is no such folder of documents.
        OutputError: A run is under way, or a file cannot be written.
    """
    # The results tell, too: a study may be forgotten first in the manifest, and then in each folder.
    scored = {} if output is None else items_of(output, key)
    studies = set(scored.values()) or {origin.study_key for origin in where(key, linkage)}
    origins = [origin for study in studies for origin in _linked(study, linkage)]
    items = {origin.item_id for origin in origins}
    if output is not None:
        items |= {item for study in studies for item in items_of(output, study)}
    gone = forget_items(output, items, ledger=ledger, documents=documents)
    _rewrite(manifest, lambda row: row["study_key"] not in studies)
    index = ScanIndex(manifest.with_name(manifest.name + ".index"))
    try:
        for origin in origins:
            index.forget(origin.study_uid, [origin.uri])
        index.compact()
    finally:
        index.close()
    _rewrite(linkage, lambda row: row["study_key"] not in studies)
    return gone


def _rewrite(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    with reading():
        schema = pq.read_schema(path)
    with private_rows(path, schema) as rows:
        for row in private_table(path, schema.names):
            if keep(row):
                rows.add(row)
