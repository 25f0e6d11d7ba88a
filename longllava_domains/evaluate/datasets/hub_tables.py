"""Parquet files of the Hugging Face hub, their pictures replaced by a hash of their bytes."""

from pathlib import Path
from typing import Any

from longllava_domains.errors import DamagedInputError
from longllava_domains.units import content_hash


def find_shards(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split, in order."""
    return sorted([*folder.glob(f"data/{split}-*.parquet"), *folder.glob(f"{split}-*.parquet")])


def read_shards(shards: list[Path]) -> tuple[dict[str, Any], ...]:
    """Read question, answer and image; ``image_name`` is the SHA-256 of the picture's bytes.

    Raises:
        DamagedInputError: A file is not Parquet, or lacks one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for number, shard in enumerate(shards):
        try:
            # By batches: the pictures of a split need not fit in memory at once.
            columns = ["image", "question", "answer"]
            for batch in pq.ParquetFile(shard).iter_batches(64, columns=columns):
                rows += [_row(row) for row in batch.to_pylist()]
        except (pa.ArrowException, OSError, KeyError, TypeError):
            raise DamagedInputError(
                f"File {number} of the split has no readable image, question and answer.",
                remedy="Fetch it again.",
                code="evaluate.hub_table",
            ) from None
    return tuple({"qid": index, **row} for index, row in enumerate(rows))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_name": content_hash([row["image"]["bytes"]]),
        "question": row["question"],
        "answer": row["answer"],
    }
