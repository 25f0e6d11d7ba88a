"""Hugging Face data sets of images and conversations, in the Parquet files that the hub keeps.

Four ways to write a conversation are read: ``conversations`` (``from``, ``value``), ``messages``
(``role``, ``content``, as a text or in parts), ``texts`` (``user``, ``assistant``), and ``question``
with ``answer``. Images stand in ``image`` or ``images``, and their bytes stay in the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.pictures import StoredImage
from longllava_domains.adapters.data.readers.tables import parts_of, stored_images
from longllava_domains.adapters.data.records import TableRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.data.turns import Turn, rounds_of, turns_of
from longllava_domains.errors import NotFoundError
from longllava_domains.prompt.layouts import MARKER

# Columns that may hold the conversation, the first that is there is read.
TEXTS: Final = (("conversations",), ("messages",), ("texts",), ("question", "answer"))
IMAGES: Final = ("images", "image")


def read_hub(folder: Path, split: str = "train") -> TrainingData:
    """Read one split of a data set that was downloaded from the hub.

    Args:
        folder: Holds ``<split>-*.parquet``, itself or in ``data/``.
        split: Which split.

    Raises:
        NotFoundError: The folder holds no such split.
        DamagedInputError: A file is no Parquet, or has no column that is known.
    """
    parts = tuple(parts_of(folder, split))
    if not parts:
        raise NotFoundError(
            "The folder holds no Parquet files of that split.",
            remedy=f"Download the data set, so that it has {split}-*.parquet or data/.",
            code="training.file",
        )
    rows = [row for part in parts for row in stored_images(part, TEXTS, IMAGES)]
    return TrainingData(folder.name, TableRecords(parts, rows), _sample)


def _sample(row: Any, key: str) -> Sample:
    pictures: list[StoredImage] = row["pictures"]
    rounds, trimmed = rounds_of(_turns(row))
    return Sample(key, rounds, tuple(pictures), trimmed=trimmed)


def _turns(row: Mapping[str, Any]) -> list[Turn]:
    if "conversations" in row:
        return turns_of(row, "conversations", "from", "value")
    if "messages" in row:
        messages = row["messages"] if isinstance(row["messages"], list) else []
        return [(_said(m.get("role")), _content(m.get("content"))) for m in messages]
    if "texts" in row:
        turns: list[Turn] = []
        for pair in row["texts"] or ():
            turns += [
                ("user", _said(pair.get("user"))),
                ("assistant", _said(pair.get("assistant"))),
            ]
        return turns
    return [("user", _said(row.get("question"))), ("assistant", _said(row.get("answer")))]


def _said(text: Any) -> str:
    if not isinstance(text, str):
        raise RowError("damaged_row")
    return text


def _content(content: Any) -> str:
    """Write the parts of a message as one text, with a tag for each image."""
    if not isinstance(content, list):
        return _said(content)
    text = ""
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("image", "text"):
            raise RowError("damaged_row")
        text += f"{MARKER}\n" if kind == "image" else _said(part.get("text"))
    return text
