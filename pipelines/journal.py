"""Long work kept line by line in a file, so that what was stopped goes on where it was."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from longllava_domains.errors import OutputError

_HEAD: Final = "kind"


class Journal:
    """A file of JSON lines: the first says whose it is, each other one is on the disk once it is told.

    A context manager that closes the file. A line that a crash cut short is forgotten.

    Args:
        path: The file; a new one where there is none.
        kind: Name and version of what the lines mean.
        key: What makes the lines this work's: the model, the questions, the inputs.
        work: What the file keeps, for messages: ``"search"``, ``"run"``.
        code: Of errors, and with ``_other`` behind it of a file that is another work's.

    Attributes:
        entries: Lines of earlier runs.

    Raises:
        OutputError: The file is another work's or no such file, or cannot be written.
    """

    def __init__(
        self, path: str | Path, kind: str, key: Mapping[str, Any], *, work: str, code: str
    ) -> None:
        self.path = Path(path)
        self.work, self.code = work, code
        self.entries: list[dict[str, Any]] = []
        head = _head(kind, key)
        try:
            self.entries, whole = _read(self.path, head, work, code)
            self._file: IO[str] = self.path.open("a" if whole else "w", encoding="utf-8")
            if whole:
                self._file.truncate(whole)
            else:
                self._write(head)
        except OSError:
            raise _unusable(work, code) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def keep(self, entry: Mapping[str, Any]) -> None:
        """Write one line.

        Raises:
            OutputError: The disk is full, or gone.
        """
        try:
            self._write(entry)
        except OSError:
            raise OutputError(
                f"The file that keeps the {self.work} cannot be written any more.",
                remedy="Make space on the disk; the answers so far are kept.",
                code=self.code,
            ) from None

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def other_error(self) -> OutputError:
        """Return the error for a file whose lines are another work's."""
        return other_journal_error(self.work, self.code)


def read_journal(
    path: Path, kind: str, key: Mapping[str, Any], *, work: str, code: str
) -> list[dict[str, Any]]:
    """Return the lines of a journal without touching it: another process may be writing it.

    A line that is not whole yet is left out, the first one, too. Arguments as of `Journal`.

    Raises:
        OutputError: The file is another work's, or cannot be read.
    """
    try:
        if b"\n" not in path.read_bytes():
            return []
        return _read(path, _head(kind, key), work, code)[0]
    except OSError:
        raise _unusable(work, code) from None


def other_journal_error(work: str, code: str) -> OutputError:
    """Return the error for a file whose lines are another work's.

    Args:
        work: As of `Journal`.
        code: As of `Journal`.
    """
    return OutputError(
        f"The file that shall keep the {work} holds something else, or another {work}.",
        remedy=f"Name a new file; a {work} goes on only with the same inputs, model, "
        "questions and settings.",
        code=f"{code}_other",
    )


def _unusable(work: str, code: str) -> OutputError:
    return OutputError(
        f"The file that keeps the {work} cannot be read or written.",
        remedy="Check its folder, or name another file.",
        code=code,
    )


def _head(kind: str, key: Mapping[str, Any]) -> dict[str, Any]:
    return {_HEAD: kind, "key": json.loads(json.dumps(key))}


def _read(
    path: Path, head: Mapping[str, Any], work: str, code: str
) -> tuple[list[dict[str, Any]], int]:
    """Return the lines of an earlier run, and the bytes of its whole lines."""
    if not path.exists() or path.stat().st_size == 0:
        return [], 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    fits = False
    try:
        first, *rest = [json.loads(line) for line in data[:whole].decode("utf-8").splitlines()]
        fits = first == head and all(isinstance(entry, dict) for entry in rest)
    except ValueError:
        rest = []
    if not fits:
        raise other_journal_error(work, code)
    return rest, whole
