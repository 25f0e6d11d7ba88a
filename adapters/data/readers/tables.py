"""Small tables of questions: CSV, JSON, Parquet, and pickles that may hold nothing but data."""

import csv
import io
import json
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn

from longllava_domains.adapters.data.pictures import StoredImage
from longllava_domains.errors import DamagedInputError, NotFoundError

# A row group with its images, kept for the rows that follow.
_CACHED_GROUPS: Final = 4
# CT-RATE's reports hold line breaks and are longer than the module's own limit allows.
_MAX_FIELD: Final = 2**24


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file with a header.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: A column is missing, or it is no CSV in UTF-8.
    """
    csv.field_size_limit(_MAX_FIELD)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError:
        raise _absent() from None
    except (UnicodeDecodeError, csv.Error):
        raise _damaged("it is no CSV in UTF-8") from None
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise _damaged(
            f"its first line names no column {missing[0]}",
            f"Name a CSV whose first line names {', '.join(columns)}.",
        )
    return rows


def read_json_list(path: Path) -> list[Any]:
    """Read a JSON file that is one list.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: It is not JSON, or no list.
    """
    try:
        rows = json.loads(path.read_bytes())
    except OSError:
        raise _absent() from None
    except ValueError:
        raise _damaged("it is not JSON") from None
    if not isinstance(rows, list):
        raise _damaged("it is no list")
    return rows


def read_pickle(path: Path) -> list[Any]:
    """Read a pickle that holds plain data, without running anything that it names.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: It is damaged, no list, or names a class or a function.
    """
    try:
        rows = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except OSError:
        raise _absent() from None
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError,
            AttributeError, OverflowError, MemoryError, RecursionError):  # fmt: skip
        raise _damaged("it is no pickle of plain data") from None
    if not isinstance(rows, list):
        raise _damaged("it is no list")
    return rows


def read_parquet(path: Path, columns: Sequence[str], image: str) -> list[dict[str, Any]]:
    """Read a Parquet file of a Hugging Face data set.

    Args:
        path: The file.
        columns: Columns of text.
        image: The image's column (``{"bytes", "path"}``); each row has a `StoredImage` there,
            whose bytes stay in the file until they are asked for.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: It is no Parquet file, or lacks a column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
        names = set(table.schema_arrow.names)
        missing = [name for name in (*columns, image) if name not in names]
        if missing:
            raise _damaged(f"it has no column {missing[0]}")
        rows: list[dict[str, Any]] = []
        for group in range(table.num_row_groups):
            some = table.read_row_group(group, columns=list(columns)).to_pylist()
            rows += [
                {**row, image: _stored(path, group, number, image)}
                for number, row in enumerate(some)
            ]
    except OSError:
        raise _absent() from None
    except pyarrow.ArrowException:
        raise _damaged("it is no Parquet file") from None
    return rows


def stored_images(
    path: Path, texts: Sequence[Sequence[str]], images: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file with a conversation and any number of images.

    Args:
        path: The file.
        texts: Groups of columns; the first that is there whole is read.
        images: Columns of images, one or a list in each row; the first that is there is read.

    Yields:
        The columns of text, and ``pictures``: `StoredImage` s whose bytes stay in the file.

    Raises:
        NotFoundError: There is no such file.
        DamagedInputError: It is no Parquet file, or has none of these groups.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
        names = set(table.schema_arrow.names)
        group = next((columns for columns in texts if set(columns) <= names), None)
        image = next((column for column in images if column in names), None)
        if group is None:
            raise _damaged(f"it has no column {', '.join(columns[0] for columns in texts)}")
        for number in range(table.num_row_groups):
            spoken = table.read_row_group(number, columns=list(group)).to_pylist()
            counts = _images_of(table, number, image, len(spoken))
            for place, row in enumerate(spoken):
                stored = [_stored(path, number, place, str(image), at) for at in counts[place]]
                yield {**row, "pictures": stored}
    except OSError:
        raise _absent() from None
    except pyarrow.ArrowException:
        raise _damaged("it is no Parquet file") from None


def _images_of(table: Any, group: int, column: str | None, rows: int) -> list[Sequence[int | None]]:
    """Return for each row which images it has: positions in its list, or None for its one image."""
    if column is None:
        return [()] * rows
    field = table.schema_arrow.field(column).type
    cells = table.read_row_group(group, columns=[column])[column]
    if str(field).startswith(("list", "large_list")):
        return [range(len(cell) if cell.is_valid else 0) for cell in cells]
    return [(None,) if cell.is_valid else () for cell in cells]


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, lists and dictionaries; refuses every name."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse the name, whatever it is."""
        raise pickle.UnpicklingError("a pickle of plain data names nothing")


def _stored(path: Path, group: int, number: int, column: str, at: int | None = None) -> StoredImage:
    def read() -> bytes:
        cell = _column(str(path), group, column)[number]
        cell = cell if at is None else cell[at]
        data = cell.get("bytes") if isinstance(cell, dict) else None
        return data if isinstance(data, bytes) else b""

    place = f"{path.stem}/{group}/{number}" + ("" if at is None else f"/{at}")
    return StoredImage(place, read)


@lru_cache(maxsize=_CACHED_GROUPS)
def _column(path: str, group: int, column: str) -> list[Any]:
    from pyarrow import parquet

    rows: list[Any] = (
        parquet.ParquetFile(path).read_row_group(group, columns=[column])[column].to_pylist()
    )
    return rows


def first_present(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first of some files that a folder holds."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def parts_of(folder: Path, split: str) -> Iterator[Path]:
    """Yield the Parquet files of a split, as the Hugging Face hub names them, in order."""
    for place in (folder / "data", folder):
        found = sorted(place.glob(f"{split}-*.parquet"))
        if found:
            yield from found
            return


def _absent() -> NotFoundError:
    return NotFoundError(
        "The table cannot be opened.",
        remedy="Name a file that is there and that you may read.",
        code="training.file",
    )


def _damaged(
    what: str, remedy: str = "Name a file of the layout that was asked for, whole and undamaged."
) -> DamagedInputError:
    return DamagedInputError(
        f"The table cannot be read: {what}.",
        remedy=remedy,
        code="training.table",
    )
