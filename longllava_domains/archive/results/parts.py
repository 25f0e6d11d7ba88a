"""Parquet parts: written whole or not at all, and named by the digest of their bytes.

A part never changes. Where rows have to go (a study is forgotten, a failure is tried again), the
old part is first hidden, then its successor appears, then the old one is deleted: whoever reads in
between may miss rows for a moment, but never sees one twice.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from longllava_domains.archive.results.schema import Row, table_of
from longllava_domains.errors import DamagedInputError, OutputError

_NAME: Final = re.compile(r"part-([0-9a-f]{64})\.parquet\Z")
# Names that start with a dot are taken by no reader of Parquet folders.
_HIDDEN: Final = ".replaced-"
_CORRUPT: Final = ".corrupt-"
_CHUNK: Final = 1 << 20


class Parts:
    """The parts of one spec.

    Args:
        folder: Where they lie; made when the first is written.
        writer: Stands for whoever writes here under one lock; its unfinished files are its own.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self.folder = folder
        self._unfinished = f".tmp-{writer}-"

    def write(self, rows: Sequence[Row]) -> str:
        """Write one part and return its name; the same rows give the same part.

        Raises:
            OutputError: The folder is full or cannot be written to. No part is left.
        """
        return self._write(table_of(rows))

    def _write(self, table: pa.Table) -> str:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue()
        name = f"part-{hashlib.sha256(data).hexdigest()}.parquet"
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            place_whole(self.folder / name, memoryview(data), self._unfinished)
        return name

    def names(self) -> list[str]:
        """Return the names of all parts, sorted."""
        if not self.folder.is_dir():
            return []
        with writing():
            found = os.listdir(self.folder)
        return sorted(name for name in found if _NAME.match(name))

    def is_whole(self, name: str) -> bool:
        """Return whether a part's bytes are those that its name promises."""
        match = _NAME.match(name)
        digest = hashlib.sha256()
        try:
            with (self.folder / name).open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except OSError:
            return False
        return match is not None and digest.hexdigest() == match[1]

    def set_aside(self, name: str) -> None:
        """Keep a corrupt part under a name that no reader takes."""
        with writing():
            os.replace(self.folder / name, self.folder / (_CORRUPT + name))

    def delete_corrupt(self) -> None:
        """Delete the parts that were set aside."""
        with writing():
            for path in self.folder.glob(f"{_CORRUPT}*"):
                path.unlink()

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one part, or some of its columns.

        Raises:
            DamagedInputError: It cannot be read.
        """
        try:
            return pq.ParquetFile(self.folder / name).read(columns=columns)
        except (OSError, pa.ArrowException):
            raise DamagedInputError(
                "A result part cannot be read.",
                remedy="Run the archive again: what it held is scored anew.",
                code="archive.part",
            ) from None

    def states(self, name: str) -> list[tuple[str, str, str]]:
        """Return fingerprint, item id and status of each row of a part."""
        table = self.read(name, ["fingerprint", "item_id", "status"])
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def replace(self, name: str, kept: pa.Table) -> str | None:
        """Put a part with these rows of it in the place of another; none where no row is left.

        Raises:
            OutputError: As `write`. `restore` brings the old part back.
        """
        old, hidden = self.folder / name, self.folder / (_HIDDEN + name)
        with writing():
            os.replace(old, hidden)
            _sync(self.folder)
        successor = self._write(kept) if len(kept) else None
        with writing():
            hidden.unlink()
            _sync(self.folder)
        return successor

    def restore(self) -> None:
        """Mend what a killed process left: unfinished files go, hidden parts come to their end.

        A hidden part whose rows stand in a successor is deleted, any other comes back.
        """
        if not self.folder.is_dir():
            return
        with writing():
            names = os.listdir(self.folder)
            for name in names:
                if name.startswith(self._unfinished):
                    (self.folder / name).unlink(missing_ok=True)
            hidden = [name for name in names if name.startswith(_HIDDEN)]
            if not hidden:
                return
            known = {state[0] for name in self.names() for state in self.states(name)}
            for name in hidden:
                own = name.removeprefix(_HIDDEN)
                rows = self.read(name, ["fingerprint"]).column(0).to_pylist()
                if any(row in known for row in rows):
                    (self.folder / name).unlink()
                else:
                    os.replace(self.folder / name, self.folder / own)
            _sync(self.folder)


@contextmanager
def writing() -> Iterator[None]:
    """Turn what the system says about files into an error of ours.

    Raises:
        OutputError: ``archive.disk_full`` or ``archive.output``.
    """
    try:
        yield
    except OSError as error:
        # The exception's own text names the path.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OutputError(
            f"A result cannot be written ({os.strerror(error.errno or 0)}).",
            remedy="Free space, or give a folder that you may write to, and run again: what is "
            "done stays done.",
            code="archive.disk_full" if full else "archive.output",
        ) from None


def place_whole(
    target: Path, data: memoryview, unfinished: str = ".tmp-", mode: int = 0o644
) -> None:
    """Write bytes so that the file appears whole, survives a power cut, or is not there at all.

    Raises:
        OSError: It cannot be written; nothing is left.
    """
    temporary = target.parent / f"{unfinished}{secrets.token_hex(8)}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
