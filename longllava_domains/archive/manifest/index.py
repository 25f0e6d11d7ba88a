"""The index of a scan: what is known of each file, on disk, so that a rescan reads only news.

It lies beside the manifest, readable by its owner alone, and holds paths and study UIDs.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from longllava_domains.archive.manifest.facts import FileFacts
from longllava_domains.archive.results.parts import writing
from longllava_domains.errors import OutputError

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS files (
  container TEXT NOT NULL, member TEXT NOT NULL, size INTEGER NOT NULL, stamp TEXT NOT NULL,
  round INTEGER NOT NULL, code TEXT NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL,
  headers TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (container, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_ORDERED: Final = (
    "CREATE INDEX IF NOT EXISTS by_study ON files (container, study, member) WHERE code = ''",
    "CREATE INDEX IF NOT EXISTS by_cut ON files (container, study) "
    "WHERE code = 'file.ct_without_pixels'",
    "CREATE TEMP TABLE items (item_id TEXT PRIMARY KEY) WITHOUT ROWID",
)
_BATCH: Final = 5000


@dataclass(frozen=True)
class IndexedFile:
    """A file that is part of an item.

    Attributes:
        container: The source, or a zip archive in it.
        member: The file's place in the container.
        size: Bytes.
        facts: What it is.
    """

    container: str
    member: str
    size: int
    facts: FileFacts


class ScanIndex:
    """Index of what is known of each file.

    Args:
        path: The database; made if need be.

    Raises:
        OutputError: It cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        with writing():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(_TABLES)
            self._database.execute("PRAGMA synchronous = OFF")  # a lost index costs one full scan
            self._database.execute("BEGIN")
        except sqlite3.Error:
            raise OutputError(
                "The index of the scan cannot be opened.",
                remedy="Delete the file that ends in .index beside the manifest and scan again.",
                code="archive.index",
            ) from None
        self._round = int(self.fact("round") or 0) + 1
        self._waiting = 0

    def close(self) -> None:
        """Write what waits and close."""
        self._database.execute("COMMIT")
        self._database.close()

    def fact(self, name: str) -> str | None:
        """Return one fact about the scan."""
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Keep one fact about the scan."""
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [name, value])

    def is_known(self, container: str, member: str, size: int, stamp: str) -> bool:
        """Return whether a file is as it was; it then counts as seen."""
        if not stamp:
            return False
        found = self._database.execute(
            "UPDATE files SET round = ? WHERE container = ? AND member = ? AND size = ? "
            "AND stamp = ?",
            [self._round, container, member, size, stamp],
        )
        return found.rowcount > 0

    def is_known_container(self, container: str, stamp: str) -> bool:
        """Return whether an archive is as it was; all its files then count as seen."""
        if not stamp:
            return False
        found = self._database.execute(
            "UPDATE files SET round = ? WHERE container = ? AND stamp = ?",
            [self._round, container, stamp],
        )
        return found.rowcount > 0

    def add(self, container: str, member: str, size: int, stamp: str, facts: FileFacts) -> None:
        """Enter a file."""
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [container, member, size, stamp, self._round, facts.code, facts.study, facts.series,
             facts.headers, facts.content],
        )  # fmt: skip
        self._waiting += 1
        if self._waiting % _BATCH == 0:
            self._database.execute("COMMIT")
            self._database.execute("BEGIN")

    def require_hashes(self, kind: str) -> None:
        """Strike the files whose headers an earlier scan hashed in another way: they are read again."""
        if self.fact("hashes") != kind:
            self._database.execute("DELETE FROM files")
        self.set_fact("hashes", kind)

    def end_round(self) -> int:
        """Strike the files that were not seen in this round; return how many."""
        gone = self._database.execute("DELETE FROM files WHERE round <> ?", [self._round]).rowcount
        self.set_fact("round", str(self._round))
        for statement in _ORDERED:
            self._database.execute(statement)
        return int(gone)

    def is_first(self, item_id: str) -> bool:
        """Return whether an item was not met before in this round; call after `end_round`."""
        added = self._database.execute("INSERT OR IGNORE INTO items VALUES (?)", [item_id])
        return added.rowcount > 0

    def forget(self, study: str, uris: Collection[str]) -> int:
        """Strike the files of a study by its UID, and single files by their place.

        Returns:
            How many.
        """
        gone = 0
        if study:
            gone += self._do("DELETE FROM files WHERE study = ?", study)
        for uri in uris:
            gone += self._do(
                "DELETE FROM files WHERE study = '' AND headers = '' AND "
                "rtrim(container, '/') || '/' || member = ?",
                uri,
            )
        return gone

    def compact(self) -> None:
        """Overwrite what was struck: SQLite keeps deleted bytes until their page is used again."""
        self._database.execute("COMMIT")
        self._database.execute("VACUUM")
        self._database.execute("BEGIN")

    def _do(self, query: str, *values: object) -> int:
        return int(self._database.execute(query, values).rowcount)

    def set_aside(self) -> dict[str, int]:
        """Return code -> number of files that are part of no item."""
        return dict(
            self._database.execute(
                "SELECT code, COUNT(*) FROM files WHERE code <> '' GROUP BY code ORDER BY code"
            )
        )

    def cut(self, container: str, study: str) -> list[IndexedFile]:
        """Return the files of a study that end before their pixels."""
        rows = self._database.execute(
            "SELECT member, size, series FROM files WHERE container = ? AND study = ? "
            "AND code = 'file.ct_without_pixels' ORDER BY member",
            [container, study],
        )
        return [
            IndexedFile(container, member, size, FileFacts("file.ct_without_pixels", study, series))
            for member, size, series in rows
        ]

    def files(self) -> Iterator[IndexedFile]:
        """Yield the files that are part of items, study by study."""
        rows = self._database.execute(
            "SELECT container, member, size, study, series, headers, content FROM files "
            "WHERE code = '' ORDER BY container, study, member"
        )
        for container, member, size, study, series, headers, content in rows:
            facts = FileFacts("", study, series, headers, content)
            yield IndexedFile(container, member, size, facts)
