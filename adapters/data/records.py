"""Rows of data files, streamed once in order and read again from anywhere.

A JSON list of a gigabyte is never held in memory: it is parsed a block at a time, and each row's
place in the file is remembered. Tables (CSV, pickle, Parquet) are small, but for their images.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from longllava_domains.errors import DamagedInputError, NotFoundError
from longllava_domains.units import short_hash

# Text parsed at a time, and the most that one row may take.
_BLOCK_BYTES: Final = 4 * 2**20
_MAX_ROW_BYTES: Final = 256 * 2**20

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_MARK: Final = b"\xef\xbb\xbf"  # the byte order mark that some editors put first


class RowPosition(NamedTuple):
    """Position of a row.

    Attributes:
        file: Number of the file.
        start: First byte of the row in it, or the number of the row in a table.
        length: Bytes of the row, 0 in a table.
    """

    file: int
    start: int
    length: int = 0


class Records(Protocol):
    """Rows that can be gone through, and read again one by one."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The data files."""
        ...

    def __iter__(self) -> Iterator[tuple[RowPosition, Any]]:
        """Yield every row in order, with its place; a row that is not JSON is None."""
        ...

    def read(self, place: RowPosition) -> Any:
        """Return one row again."""
        ...


@dataclass(frozen=True)
class JsonRecords:
    """Rows of JSON files: a list of rows each, or a row on each line.

    Attributes:
        files: The files, in order.
    """

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[tuple[RowPosition, Any]]:
        """Yield every row with its place; a line that is not JSON is None.

        Raises:
            NotFoundError: A file is not there.
            DamagedInputError: A list is cut short or is not JSON, so that no row after that
                point can be found.
        """
        for number, path in enumerate(self.files):
            with _opened(path, number) as file:
                is_list = _first_sign(file) == b"["
                rows = _listed(file, number, path.name) if is_list else _lines(file)
                for start, length, row in rows:
                    yield RowPosition(number, start, length), row

    def read(self, place: RowPosition) -> Any:
        """Parse one row again; None where it is not JSON.

        Raises:
            NotFoundError: The file is not there any more.
        """
        with _opened(self.files[place.file], place.file) as file:
            file.seek(place.start)
            return _parsed(file.read(place.length))


@dataclass(frozen=True)
class TableRecords:
    """Rows that are all in memory.

    Attributes:
        files: Where they came from.
        rows: The rows.
    """

    files: tuple[Path, ...]
    rows: Sequence[Any]

    def __iter__(self) -> Iterator[tuple[RowPosition, Any]]:
        """Yield every row with its number."""
        for number, row in enumerate(self.rows):
            yield RowPosition(0, number), row

    def read(self, place: RowPosition) -> Any:
        """Return one row again."""
        return self.rows[place.start]


def _opened(path: Path, number: int) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError:
        raise NotFoundError(
            f"Data file {number + 1} ({short_hash(path.name)}) cannot be opened.",
            remedy="Name a file that is there and that you may read.",
            code="training.file",
        ) from None


def _first_sign(file: BinaryIO) -> bytes:
    """Return the first byte that is no white space, and go back to the start."""
    sign = file.read(4096).removeprefix(_MARK).lstrip()[:1]
    file.seek(0)
    return sign


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:  # also what is not UTF-8
        return None


def _lines(file: BinaryIO) -> Iterator[tuple[int, int, Any]]:
    start = 0
    for line in file:
        if line.strip():
            yield start, len(line), _parsed(line)
        start += len(line)


def _listed(file: BinaryIO, number: int, name: str) -> Iterator[tuple[int, int, Any]]:
    """Yield the rows of one JSON list, holding one block and one row at a time."""
    window = _Window(file, number, name)
    window.skip("[")
    found = 0
    while window.peek() != "]":
        if found:
            window.skip(",")
        start = window.position()
        row, length = window.take(found)
        yield start, length, row
        found += 1


class _Window:
    """The part of a JSON text that is being parsed, and where it stands in the file."""

    def __init__(self, file: BinaryIO, number: int, name: str) -> None:
        self._file, self._number, self._name = file, number, name
        self._text, self._at = "", 0
        self._rest = b""  # bytes of a character that the last block cut
        self._byte = len(_MARK) if file.read(len(_MARK)) == _MARK else 0
        file.seek(self._byte)

    def position(self) -> int:
        """Return the file's byte of the next sign."""
        return self._byte

    def peek(self) -> str:
        """Pass over white space and return the next sign without taking it."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._pass_to(space.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                raise self._damaged("it ends in the middle of its list")

    def skip(self, sign: str) -> None:
        """Take one sign and the white space around it."""
        if self.peek() != sign:
            raise self._damaged(f"a {sign} is missing")
        self._pass_to(self._at + 1)
        self.peek()

    def take(self, row: int) -> tuple[Any, int]:
        """Parse the next value; return it and its length in bytes."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if len(self._text) - self._at > _MAX_ROW_BYTES or not self._grow():
                    raise self._damaged(f"row {row + 1} is not JSON") from None
            else:
                # A number at the end of the block could go on in the next one.
                if end < len(self._text) or not self._grow():
                    return value, self._pass_to(end)

    def _pass_to(self, end: int) -> int:
        size = len(self._text[self._at : end].encode("utf-8"))
        self._at = end
        self._byte += size
        return size

    def _grow(self) -> bool:
        waiting = len(self._text) - self._at
        data = self._file.read(max(_BLOCK_BYTES, waiting))
        if not data:
            return False
        data = self._rest + data
        whole = _whole_characters(data)
        self._rest = data[whole:]
        try:
            self._text = self._text[self._at :] + data[:whole].decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged("it is not UTF-8") from None
        self._at = 0
        return True

    def _damaged(self, what: str) -> DamagedInputError:
        return DamagedInputError(
            f"Data file {self._number + 1} ({short_hash(self._name)}) is not a whole JSON list: {what}.",
            remedy="If it is no file of rows, name the one that is in place of the folder; else fetch it "
            "again, for rows behind the damage cannot be found.",
            code="training.json",
            facts={"file": self._number + 1, "byte": self._byte},
        )


def _whole_characters(data: bytes) -> int:
    """Return how many bytes end with a whole UTF-8 character."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back else len(data)
    return len(data)
