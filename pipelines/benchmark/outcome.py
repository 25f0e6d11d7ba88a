"""Outcome of a benchmark run: results under every protocol, their card, and prediction files."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longllava_domains.errors import OutputError
from longllava_domains.evaluate import Result
from longllava_domains.evaluate.board import save_board
from longllava_domains.files import write_text
from longllava_domains.pipelines.benchmark.generate import Replies

CARD_SUFFIXES = (".html", ".md", ".json")


@dataclass(frozen=True)
class BenchmarkResult:
    """A finished run.

    Attributes:
        card: The result under the first protocol, with what stands beside it.
        results: Protocol -> result; those that were not asked in their own words say so.
        skipped: Protocol -> why it could not score the answers.
        failed: Inputs that could not be shown -> code of the error.
        asked: Distinct prompts with a reply.
        reused: Of these, kept by an earlier run.
        seconds: Of asking, in this run.
        folder: Where everything was written.
        files: What was written.
    """

    card: Result
    results: Mapping[str, Result]
    skipped: Mapping[str, str]
    failed: Mapping[str, str] = field(repr=False)
    asked: int
    reused: int
    seconds: float
    folder: Path = field(repr=False)
    files: Sequence[Path] = field(repr=False)

    @classmethod
    def of(
        cls,
        results: Mapping[str, Result],
        skipped: Mapping[str, str],
        replies: Replies,
        folder: Path,
        files: Mapping[str, Path],
    ) -> "BenchmarkResult":
        """Write the cards and the table of rows, and return the whole."""
        card = next(iter(results.values()))
        written = list(files.values())
        for suffix in CARD_SUFFIXES:
            path = folder / f"card{suffix}"
            save_board(card, results, path, overwrite=True)
            written.append(path)
        rows = folder / "rows.parquet"
        card.save_rows(rows, overwrite=True)
        return cls(
            card, results, skipped, dict(replies.failed), len(replies.found), replies.reused,
            replies.seconds, folder, (*written, rows),
        )  # fmt: skip


def write_rows(folder: Path, protocol: str, run: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write prediction rows as JSON Lines, for `evaluate.score` and for other toolkits.

    Args:
        folder: Of the run.
        protocol: In whose words the questions were asked.
        run: ``"image"``, ``"blind"`` or ``"shuffled"``.
        rows: The rows.

    Raises:
        OutputError: The file cannot be written.
    """
    ending = "" if run == "image" else f"-{run}"
    path = folder / f"predictions-{protocol}{ending}.jsonl"
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(path, lines, overwrite=True)
    return path


def make_folder(output: str | Path) -> Path:
    """Make the folder of a run.

    Raises:
        OutputError: There is a file of that name, or it cannot be made.
    """
    place = Path(output)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder of the run cannot be made ({os.strerror(error.errno or 0)}).",
            remedy="Name another folder with --output.",
            code="benchmark.folder",
        ) from None
    return place
