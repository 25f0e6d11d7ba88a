"""Prediction and reference files as rows: JSON Lines, JSON, CSV, TSV or Parquet, in any encoding."""

import codecs
import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.units import short_hash

Row = Mapping[str, object]
Source = str | Path | Iterable[Row]

SUFFIXES: Final = (".jsonl", ".json", ".csv", ".tsv", ".parquet")

# The longer mark first: the one of UTF-32 begins with the one of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """The rows of one source.

    Attributes:
        rows: One mapping for each row, in the order of the source.
        encoding: How the bytes were read, None for Parquet and for rows in memory.
        notes: What a reader of the score must know about the reading.
    """

    rows: tuple[Row, ...]
    encoding: str | None = None
    notes: tuple[str, ...] = ()


class _DamagedError(Exception):
    """Says what is wrong with a table, which only the caller can call by its name."""


def read_table(source: Source, name: str = "predictions or references") -> Table:
    """Read rows from a file, or take them from an iterable of mappings.

    A JSON file holds a list of objects, or one object of ``id: answer`` pairs or
    ``id: object`` pairs. Files with a byte order mark are read as it says; all others as
    UTF-8, and where they are not UTF-8, as Windows-1252, which is noted.

    Args:
        source: A path with one of `SUFFIXES`, or an iterable of mappings.
        name: What the table is, for a refusal.

    Raises:
        NotFoundError: There is no file at that place.
        UnsupportedInputError: The suffix is another one.
        DamagedInputError: The content is not what the suffix says, or a row is no mapping.
    """
    try:
        return _as_table(source, name)
    except _DamagedError as error:
        raise DamagedInputError(
            f"The {name} cannot be read: {error}.",
            remedy="Give a list of rows with fields, in the format that the suffix names.",
            code="evaluate.damaged",
        ) from None


def _as_table(source: Source, name: str) -> Table:
    if not isinstance(source, (str, Path)):
        return Table(_as_rows(source))
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UnsupportedInputError(
            "The suffix of the file names no format that is read here.",
            remedy=f"Give a file with one of {', '.join(SUFFIXES)}.",
            code="evaluate.suffix",
        )
    if not path.is_file():
        raise NotFoundError(
            f"There is no file of {name} at that place ({short_hash(str(path))}).",
            remedy="Check the path.",
            code="evaluate.no_file",
        )
    if suffix == ".parquet":
        return Table(_parquet_rows(path))
    text, encoding, notes = _decode(_bytes_of(path))
    if suffix == ".jsonl":
        rows = _json_lines(text)
    elif suffix == ".json":
        rows = _json_rows(text)
    else:
        rows = _csv_rows(text, "\t" if suffix == ".tsv" else _delimiter(text))
    return Table(rows, encoding, notes)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedInputError(
            f"The file cannot be read ({os.strerror(error.errno or 0)}).",
            remedy="Check its permissions and the disk.",
            code="evaluate.unreadable",
        ) from None


def _decode(data: bytes) -> tuple[str, str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding, ()
            except UnicodeDecodeError as error:
                raise _DamagedError(
                    f"byte {error.start} does not fit its {encoding} mark"
                ) from None
    try:
        return data.decode("utf-8"), "utf-8", ()
    except UnicodeDecodeError:
        lines = sum(not line.isascii() for line in data.splitlines())
        note = f"read as Windows-1252, not UTF-8: {lines} lines hold letters that depend on it"
        return data.decode("cp1252", errors="replace"), "cp1252", (note,)


def _json_lines(text: str) -> tuple[Row, ...]:
    rows = []
    # Not splitlines(): JSON strings may hold U+2028 and other separators of Unicode.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            rows.append(_parse_json(line, f"line {number}"))
    return _as_rows(rows)


def _json_rows(text: str) -> tuple[Row, ...]:
    content = _parse_json(text, "the file")
    if isinstance(content, dict):
        content = [
            {"id": key, **value} if isinstance(value, dict) else {"id": key, "answer": value}
            for key, value in content.items()
        ]
    if not isinstance(content, list):
        raise _DamagedError("the JSON is neither a list nor an object")
    return _as_rows(content)


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _DamagedError(f"{where} is not JSON") from None


def _delimiter(text: str) -> str:
    """Return what stands between the cells: a semicolon where Excel uses a comma in numbers."""
    header = text.partition("\n")[0]
    return ";" if ";" in header and "," not in header else ","


def _csv_rows(text: str, delimiter: str) -> tuple[Row, ...]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        for row in reader:
            if None in row:
                raise _DamagedError(f"line {reader.line_num} has more cells than the header")
            rows.append(row)
    except csv.Error:
        raise _DamagedError(f"line {reader.line_num} is not CSV") from None
    return tuple(rows)


def _parquet_rows(path: Path) -> tuple[Row, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_table(path).to_pylist())
    except (pa.ArrowException, OSError):
        raise _DamagedError("the file is not Parquet, or is cut short") from None


def _as_rows(rows: Iterable[Any]) -> tuple[Row, ...]:
    found = tuple(rows)
    for number, row in enumerate(found, 1):
        if not isinstance(row, Mapping):
            raise _DamagedError(f"row {number} is no object with fields")
    return found
