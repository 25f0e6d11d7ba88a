"""A search kept answer by answer in a file, so that one that was stopped goes on where it was."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from longllava_domains.answer import Answer
from longllava_domains.errors import OutputError
from longllava_domains.files import require_writable
from longllava_domains.formats.regular_file import open_regular
from longllava_domains.pipelines.journal import Journal
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
                raise OutputError(
                    "The file that shall keep the search holds something else.",
                    remedy="Name a new file.",
                    code="find.journal_other",
                )


class SearchJournal:
    """Answers about the chips of one search, one JSON line each, on the disk as soon as it is told.

    A context manager that closes the file. A line that a crash cut short is asked again.

    Args:
        path: The file; a new one where there is none.
        key: What makes an answer this search's: scene, model, question and chips.

    Raises:
        OutputError: The file is another search's or no such file, or cannot be written.
    """

    def __init__(self, path: str | Path, key: Mapping[str, Any]) -> None:
        self._lines = Journal(path, _KIND, key, work="search", code="find.journal")
        self.answers: dict[str, Answer] = {}
        try:
            for entry in self._lines.entries:
                self.answers[entry["view_id"]] = _answer(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._lines.other_error() from None

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self._lines.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.__exit__(kind, error, trace)

    def keep(self, view_id: str, answer: Answer) -> None:
        """Write down the answer about one chip.

        Raises:
            OutputError: The disk is full, or gone.
        """
        logprobs = answer.token_logprobs
        self._lines.keep(
            {
                "view_id": view_id,
                "text": answer.text,
                "stopped": answer.stopped,
                "logprob": math.fsum(logprobs) / len(logprobs) if logprobs else None,
                "provenance": answer.provenance.to_json(),
            }
        )


def _answer(entry: Mapping[str, Any]) -> Answer:
    """Return an answer as it was told; one mean stands for the log-probabilities of its tokens."""
    logprob = entry["logprob"]
    return Answer(
        text=str(entry["text"]),
        stopped=str(entry["stopped"]),
        token_logprobs=() if logprob is None else (float(logprob),),
        provenance=Provenance(**entry["provenance"]),
    )
