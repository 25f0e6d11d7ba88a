"""`Dataset`: the rows of each split, what identifies them, and what leaks between them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.units import content_hash

Rows = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Dataset:
    """A benchmark as it lies on the disk.

    Attributes:
        benchmark: Name.
        build: Which of its distributions this is.
        splits: ``"train"`` and ``"test"`` (or ``"valid"``) -> rows that `score` takes as references.
        licence: Its terms in one sentence.
        notes: What a reader of a score must know about the data.
        leakage: What the splits share, by name.
    """

    benchmark: str
    build: str
    splits: Mapping[str, Rows]
    licence: str
    notes: tuple[str, ...] = ()
    leakage: Mapping[str, int] | None = None

    @property
    def evaluated(self) -> str:
        """Name of the split that is scored."""
        return "test" if "test" in self.splits else "valid"

    @property
    def references(self) -> Rows:
        """Rows of the split that is scored."""
        return self.splits[self.evaluated]

    @property
    def hashes(self) -> dict[str, str]:
        """Split -> SHA-256 of its rows; the same for any order and file format."""
        return {name: split_hash(rows) for name, rows in self.splits.items()}

    def image_disjoint(self) -> "Dataset":
        """Return the data with every training row removed whose image is in the scored split.

        Raises:
            PolicyError: The rows name no images.
        """
        held_out = {row.get("image_name") for row in self.references}
        if None in held_out:
            raise PolicyError(
                f"The rows of {self.benchmark} name no images to keep apart.",
                remedy="Use the splits as they are.",
                code="evaluate.disjoint",
            )
        splits = dict(self.splits)
        notes = []
        for name in splits.keys() - {self.evaluated}:
            kept = tuple(row for row in splits[name] if row.get("image_name") not in held_out)
            notes.append(f"image-disjoint: {len(splits[name]) - len(kept)} rows of {name} removed")
            splits[name] = kept
        leaks = question_leakage(splits["train"], self.references) if "train" in splits else None
        return replace(self, splits=splits, notes=tuple(sorted(notes)), leakage=leaks)


def split_hash(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of rows, whatever their order and the order of their fields."""
    lines = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) for row in rows)
    return content_hash(line.encode("utf-8", "surrogatepass") + b"\n" for line in lines)


def question_leakage(
    train: Sequence[Mapping[str, Any]], test: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Count what the test shares with training: images, questions on an image, and answers to them.

    Args:
        train: Rows with ``image_name``, ``question`` and ``answer``.
        test: Likewise.
    """

    def keys(rows: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[str, ...]]:
        return [tuple(_plain(row.get(name)) for name in names) for row in rows]

    images = set(keys(train, "image_name"))
    pairs = set(keys(train, "image_name", "question"))
    whole = set(keys(train, "image_name", "question", "answer"))
    return {
        "test images in train": len(set(keys(test, "image_name")) & images),
        "test images": len(set(keys(test, "image_name"))),
        "test questions on the same image in train": sum(
            key in pairs for key in keys(test, "image_name", "question")
        ),
        "with the same answer": sum(
            key in whole for key in keys(test, "image_name", "question", "answer")
        ),
    }


def first_file(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the first of the files that the folder has."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def not_found(benchmark: str, layouts: str) -> NotFoundError:
    """Return the error for a folder that holds none of the layouts of a benchmark."""
    return NotFoundError(
        f"The folder holds no {benchmark} in a layout that is known.",
        remedy=f"Give the folder that holds {layouts}.",
        code="evaluate.dataset",
    )


def _plain(value: object) -> str:
    return " ".join(str(value).lower().split())
