"""The manifest: one row for each item, and the linkage file that ties keys to studies.

Both hold paths or study UIDs: they are patient data, readable by their owner alone, and have no
place among the results.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from longllava_domains.archive.item import Item
from longllava_domains.archive.results.parts import writing
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError

_ROWS: Final = 4096
MANIFEST: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("study_key", pa.string()),
        ("domain", pa.string()),
        ("uri", pa.string()),
        ("members", pa.list_(pa.string())),
        ("series", pa.string()),
        ("images", pa.int64()),
        ("bytes", pa.int64()),
        ("decoded_bytes", pa.int64()),
        ("expected", pa.string()),
        ("choice", pa.string()),
    ]
)
LINKAGE: Final = pa.schema(
    [
        ("study_key", pa.string()),
        ("item_id", pa.string()),
        ("study_uid", pa.string()),
        ("uri", pa.string()),
    ]
)
_ITEM: Final = [name for name in MANIFEST.names if name != "choice"]


class RowWriter:
    """Writes rows to a private Parquet file, a few thousand at a time."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._rows: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._flush()

    def end(self) -> None:
        """Write what waits, and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()


@contextmanager
def private_rows(path: Path, schema: pa.Schema) -> Iterator[RowWriter]:
    """Give a writer of a file that its owner alone can read; it replaces `path` at the end.

    Raises:
        OutputError: It cannot be written; an older file is kept.
    """
    temporary = path.parent / f".tmp-{secrets.token_hex(8)}"
    with writing():
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                writer = RowWriter(file, schema)
                try:
                    yield writer
                finally:
                    writer.end()  # also before the file closes over an unfinished table
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Manifest:
    """A manifest on disk; calling it begins its items anew, a few thousand in memory at a time.

    Attributes:
        path: The file.
    """

    path: Path

    def __call__(self) -> Iterator[Item]:
        """Yield all items, in the manifest's order.

        Raises:
            NotFoundError: There is no such file.
            DamagedInputError: It is no manifest.
        """
        for row in private_table(self.path, _ITEM):
            yield Item(**{**row, "members": tuple(row["members"])})

    def count(self) -> int:
        """Return the number of items.

        Raises:
            NotFoundError: There is no such file.
            DamagedInputError: It is no manifest.
        """
        with reading():
            return int(pq.ParquetFile(self.path).metadata.num_rows)

    def domain(self) -> str:
        """Return the domain of its items.

        Raises:
            NotFoundError: There is no such file, or it holds no item.
            DamagedInputError: It is no manifest.
        """
        first = next(self(), None)
        if first is None:
            raise NotFoundError(
                "The manifest holds no item.",
                remedy="Scan a source that holds items of its domain.",
                code="archive.empty",
            )
        return first.domain

    def require_outside(self, output: Path) -> None:
        """Refuse results in a folder that holds the manifest.

        Raises:
            PolicyError: The manifest lies below the results.
        """
        if self.path.resolve().is_relative_to(output.resolve()):
            raise PolicyError(
                "The manifest lies in the folder of the results.",
                remedy="Keep the manifest elsewhere: it holds paths, and results are passed on.",
                code="archive.manifest_place",
            )


def linkage_beside(manifest: Path) -> Path:
    """Return where the linkage file of a manifest lies, unless another place is given.

    Args:
        manifest: The manifest.
    """
    return manifest.with_name("linkage.parquet")


def scan_files(manifest: Path, linkage: Path) -> tuple[Path, Path, Path]:
    """Return the files that a scan leaves: manifest, linkage, and the index for the next scan.

    Args:
        manifest: The manifest.
        linkage: The linkage file.
    """
    return manifest, linkage, manifest.with_name(manifest.name + ".index")


def is_manifest(path: Path) -> bool:
    """Return whether a file is a manifest that a scan wrote."""
    try:
        return path.is_file() and set(MANIFEST.names) <= set(pq.read_schema(path).names)
    except (OSError, ValueError, pa.ArrowException):  # ValueError: a null character in the path
        return False


def private_table(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a manifest or linkage file.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: It cannot be read, or lacks a column.
    """
    with reading():
        file = pq.ParquetFile(path)
        if not set(columns) <= set(file.schema_arrow.names):
            raise pa.ArrowInvalid
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
            yield from batch.to_pylist()


@contextmanager
def reading() -> Iterator[None]:
    """Turn what pyarrow says about a manifest into an error of ours."""
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(
            "There is no such manifest or linkage file.",
            remedy="Make it with longllava archive scan.",
            code="archive.no_manifest",
        ) from None
    except (OSError, pa.ArrowException):
        raise DamagedInputError(
            "The manifest or linkage file cannot be read, or is none.",
            remedy="Name the file that longllava archive scan wrote: the manifest, or the linkage.parquet "
            "beside it. If it is that one, scan again.",
            code="archive.manifest",
        ) from None
