"""A search kept answer by answer in a file, so that one that was stopped goes on where it was."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from longllava_domains.answer import Answer
from longllava_domains.errors import OutputError
from longllava_domains.files import require_writable
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.provenance import Provenance

_KIND: Final = "longllava-find@1"


def require_journal(path: Path | None) -> None:
    """Refuse a file that keeps no search, or a place for none, before a model is loaded.

    Raises:
        OutputError: It holds something else, or cannot be written.
    """
    if path is None:
        return
    require_writable(path, overwrite=True)
    if path.exists() and path.stat().st_size:
        with open_regular(path) as opened:
            if _KIND.encode() not in opened.read(4096):
                raise _other()


def _other() -> OutputError:
    return OutputError(
        "The file that shall keep the search holds something else, or another search.",
        remedy="Name a new file; a search goes on only with the same scene, model, question "
        "and chips.",
        code="find.journal_other",
    )


class Journal:
    """Answers about the chips of one search, one JSON line each, on the disk as soon as it is told.

    A context manager that closes the file. A line that a crash cut short is asked again.

    Args:
        path: The file; a new one where there is none.
        key: What makes an answer this search's: scene, model, question and chips.

    Raises:
        OutputError: The file is another search's or no such file, or cannot be written.
    """

    def __init__(self, path: str | Path, key: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.key = json.loads(json.dumps(key))
        self.answers: dict[str, Answer] = {}
        try:
            whole = self._read()
            self._file: IO[str] = self.path.open("a" if whole else "w", encoding="utf-8")
            if whole:
                self._file.truncate(whole)
            else:
                self._write({"kind": _KIND, "key": self.key})
        except OSError:
            raise OutputError(
                "The file that keeps the search cannot be read or written.",
                remedy="Check its folder, or name another file.",
                code="find.journal",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def keep(self, view_id: str, answer: Answer) -> None:
        """Write down the answer about one chip.

        Raises:
            OutputError: The disk is full, or gone.
        """
        logprobs = answer.token_logprobs
        entry = {
            "view_id": view_id,
            "text": answer.text,
            "stopped": answer.stopped,
            "logprob": math.fsum(logprobs) / len(logprobs) if logprobs else None,
            "provenance": answer.provenance.to_json(),
        }
        try:
            self._write(entry)
        except OSError:
            raise OutputError(
                "The file that keeps the search cannot be written any more.",
                remedy="Make space on the disk; the answers so far are kept.",
                code="find.journal",
            ) from None

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> int:
        """Take in the answers of an earlier run; return the bytes of its whole lines."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return 0
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        try:
            first, *rest = [json.loads(line) for line in data[:whole].decode("utf-8").splitlines()]
            fits = first["kind"] == _KIND and first["key"] == self.key
            for entry in rest if fits else ():
                self.answers[entry["view_id"]] = _answer(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            fits = False
        if not fits:
            raise _other()
        return whole


def _answer(entry: Mapping[str, Any]) -> Answer:
    """Return an answer as it was told; one mean stands for the log-probabilities of its tokens."""
    logprob = entry["logprob"]
    return Answer(
        text=str(entry["text"]),
        stopped=str(entry["stopped"]),
        token_logprobs=() if logprob is None else (float(logprob),),
        provenance=Provenance(**entry["provenance"]),
    )
