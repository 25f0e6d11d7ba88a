"""Work under way: leases, attempts and rows that wait for their part, in SQLite.

One ledger serves several processes on one machine. It only ever speeds up and orders work; what
is done is decided by the parts, and a ledger that is lost is rebuilt from them. Every change is
one transaction under SQLite's write lock, and no decision looks at a clock.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from longllava_domains.archive.results.parts import writing
from longllava_domains.errors import OutputError

_WAIT_SECONDS: Final = 120.0
_FULL: Final = ("database or disk is full", "disk I/O error")
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS committed (
  fingerprint TEXT PRIMARY KEY, part TEXT NOT NULL, status TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_part ON committed (part);
CREATE TABLE IF NOT EXISTS pending (
  fingerprint TEXT PRIMARY KEY, status TEXT NOT NULL, row TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leases (
  fingerprint TEXT PRIMARY KEY, worker TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
  fingerprint TEXT PRIMARY KEY, failed INTEGER NOT NULL DEFAULT 0,
  killed INTEGER NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
"""
_TAKEN: Final = """
SELECT fingerprint FROM committed WHERE fingerprint IN ({0}) UNION
SELECT fingerprint FROM pending WHERE fingerprint IN ({0}) UNION
SELECT fingerprint FROM leases WHERE fingerprint IN ({0})"""
_MOST_PARAMETERS: Final = 300


@dataclass(frozen=True)
class Attempts:
    """Attempts at an item so far.

    Attributes:
        failed: Times that it ended in an error.
        killed: Times that the process did not outlive it.
        code: Of the last error.
    """

    failed: int = 0
    killed: int = 0
    code: str = ""


class Ledger:
    """The ledger of one spec and shard.

    Args:
        path: The database; on a local disk.

    Raises:
        OutputError: It cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        with writing():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise _not_writable(error) from None
            with writing():  # not a database any more: the parts tell what is done
                path.replace(path.with_suffix(".damaged"))
            self._database = _open(path)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction; other processes wait.

        Raises:
            OutputError: The disk is full, or the ledger cannot be written.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _not_writable(error) from None

    # -- items: call these inside `change`, or alone for a look

    def taken(self, fingerprints: Sequence[str]) -> set[str]:
        """Return those that are done, wait for their part, or are leased."""
        found: set[str] = set()
        for start in range(0, len(fingerprints), _MOST_PARAMETERS):
            some = fingerprints[start : start + _MOST_PARAMETERS]
            marks = ",".join("?" * len(some))
            found.update(row[0] for row in self._all(_TAKEN.format(marks), [*some, *some, *some]))
        return found

    def lease(self, fingerprint: str, worker: str) -> None:
        """Give an item to a worker."""
        self._do("INSERT INTO leases VALUES (?, ?)", fingerprint, worker)

    def drop_lease(self, fingerprint: str) -> None:
        """Take an item back, without a mark against it."""
        self._do("DELETE FROM leases WHERE fingerprint = ?", fingerprint)

    def leases(self) -> list[tuple[str, str]]:
        """Return fingerprint and worker of all leases."""
        return self._all("SELECT fingerprint, worker FROM leases")

    def attempts(self, fingerprint: str) -> Attempts:
        """Return how an item fared so far."""
        rows = self._all(
            "SELECT failed, killed, code FROM attempts WHERE fingerprint = ?", [fingerprint]
        )
        return Attempts(*rows[0]) if rows else Attempts()

    def count_attempt(self, fingerprint: str, *, killed: bool, code: str) -> Attempts:
        """Count one more failure, or one more death of the process, and return all."""
        self._do("INSERT OR IGNORE INTO attempts (fingerprint) VALUES (?)", fingerprint)
        self._do(
            "UPDATE attempts SET failed = failed + ?, killed = killed + ?, code = ? "
            "WHERE fingerprint = ?",
            int(not killed), int(killed), code, fingerprint,
        )  # fmt: skip
        return self.attempts(fingerprint)

    def open_attempts(self) -> set[str]:
        """Return the items that were tried in vain and have no outcome yet."""
        return {
            row[0]
            for row in self._all(
                "SELECT fingerprint FROM attempts WHERE fingerprint NOT IN "
                "(SELECT fingerprint FROM committed UNION SELECT fingerprint FROM pending)"
            )
        }

    def forget_attempts(self, fingerprints: Iterable[str]) -> None:
        """Let items start afresh."""
        for fingerprint in fingerprints:
            self._do("DELETE FROM attempts WHERE fingerprint = ?", fingerprint)

    # -- rows that wait for their part

    def add_pending(self, fingerprint: str, status: str, row: str) -> None:
        """Keep a row until its part is written; ends the lease."""
        self._do("INSERT INTO pending VALUES (?, ?, ?)", fingerprint, status, row)
        self.drop_lease(fingerprint)

    def pending(self, most: int) -> list[tuple[str, str]]:
        """Return fingerprint and row of the oldest rows that wait."""
        return self._all("SELECT fingerprint, row FROM pending ORDER BY rowid LIMIT ?", [most])

    def drop_pending(self, fingerprints: Iterable[str]) -> None:
        """Let rows go."""
        for fingerprint in fingerprints:
            self._do("DELETE FROM pending WHERE fingerprint = ?", fingerprint)

    # -- parts

    def parts(self) -> set[str]:
        """Return the names of the parts that are entered."""
        return {row[0] for row in self._all("SELECT name FROM parts")}

    def add_part(self, name: str, states: Sequence[tuple[str, str]]) -> int:
        """Enter a part with fingerprint and status of its rows.

        Returns:
            How many of its rows stand in another part, too.
        """
        self._do("INSERT OR REPLACE INTO parts VALUES (?, ?)", name, len(states))
        twice = 0
        for fingerprint, status in states:
            added = self._do(
                "INSERT OR IGNORE INTO committed VALUES (?, ?, ?)", fingerprint, name, status
            )
            twice += not added
            self.drop_lease(fingerprint)
        self.drop_pending(fingerprint for fingerprint, _ in states)
        return twice

    def drop_part(self, name: str) -> None:
        """Strike a part that is no more; its items are missing again."""
        self._do("DELETE FROM committed WHERE part = ?", name)
        self._do("DELETE FROM parts WHERE name = ?", name)

    def counts(self) -> dict[str, int]:
        """Return the number of items by status; ``"leased"`` are under way."""
        counted = dict(
            self._all(
                "SELECT status, SUM(n) FROM (SELECT status, COUNT(*) AS n FROM committed "
                "GROUP BY status UNION ALL SELECT status, COUNT(*) FROM pending GROUP BY status) "
                "GROUP BY status"
            )
        )
        ((leased,),) = self._all("SELECT COUNT(*) FROM leases")
        return {**counted, "leased": leased}

    def pending_count(self) -> int:
        """Return how many rows wait for their part."""
        ((count,),) = self._all("SELECT COUNT(*) FROM pending")
        return int(count)

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _not_writable(error) from None

    def _do(self, query: str, *values: object) -> int:
        return self._database.execute(query, values).rowcount


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    try:
        # NORMAL: a power cut may undo the last transactions, but the parts are on the disk by then.
        for setting in ("journal_mode = WAL", "synchronous = NORMAL"):
            database.execute(f"PRAGMA {setting}")
        database.executescript(_TABLES)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _not_writable(error: sqlite3.Error) -> OutputError:
    full = str(error) in _FULL
    return OutputError(
        "The ledger of this run cannot be written"
        + (": the disk is full or fails." if full else "."),
        remedy="Make room, or put the ledger on a local disk that you may write to; what is done "
        "stays done.",
        code="archive.disk_full" if full else "archive.ledger",
    )
