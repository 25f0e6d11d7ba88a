"""PathVQA (He et al. 2020): the official pickles, the authors' JSON, and the hub's build."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import DamagedInputError
from longllava_domains.evaluate.datasets.dataset import Dataset, Rows, not_found, question_leakage
from longllava_domains.evaluate.datasets.hub_tables import find_shards, read_shards
from longllava_domains.evaluate.predictions import read_table

LICENCE: Final = (
    "questions under the MIT licence; the copyright of the images stays with their publishers"
)
_SPLITS: Final = ("train", "val", "test")


class _DataOnly(pickle.Unpickler):
    """Reads lists, dictionaries, texts and numbers, and refuses to construct anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every class and function that a pickle names."""
        raise pickle.UnpicklingError("a pickle of data names no class")


def load_path_vqa(folder: Path) -> Dataset:
    """Read PathVQA from a folder.

    Args:
        folder: With ``qas/test_vqa.pkl`` as the official archive has it, with ``pvqa_test.json`` of
            the authors' repository, or with the hub's Parquet. A pickle that holds anything but
            plain data is refused, because it could run a program.

    Raises:
        NotFoundError: None of these is there.
        DamagedInputError: A file cannot be read.
    """
    for build, pattern, read in (
        ("official", "qas/{}_vqa.pkl", _pickled),
        ("repository", "pvqa_{}.json", _nested),
    ):
        found = {split: folder / pattern.format(split) for split in _SPLITS}
        if found["test"].is_file():
            return _dataset(build, {s: read(path) for s, path in found.items() if path.is_file()})
    shards = {split: find_shards(folder, name) for split, name in _HUB_NAMES}
    if shards["test"]:
        return _dataset("hf", {s: read_shards(files) for s, files in shards.items() if files})
    raise not_found("PathVQA", "qas/test_vqa.pkl, pvqa_test.json, or data/*.parquet")


_HUB_NAMES: Final = (("train", "train"), ("val", "validation"), ("test", "test"))


def _dataset(build: str, splits: dict[str, Rows]) -> Dataset:
    leaks = question_leakage(splits["train"], splits["test"]) if "train" in splits else None
    return Dataset("path-vqa", build, splits, LICENCE, leakage=leaks)


def _pickled(path: Path) -> Rows:
    try:
        with path.open("rb") as file:
            rows = _DataOnly(file).load()
        return tuple(
            {
                "question_id": row["question_id"],
                "image_name": row["img_id"],
                "question": row["sent"],
                "answer": max(row["label"], key=row["label"].__getitem__),
                "answer_type": row["answer_type"],
            }
            for row in rows
        )
    # What a hostile or damaged pickle ends in is not documented to be less.
    except (pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, TypeError,
            AttributeError, ImportError, MemoryError, RecursionError) as error:  # fmt: skip
        raise DamagedInputError(
            "The pickle of a split is not the official one.",
            remedy="Fetch it again; a pickle from elsewhere is not opened.",
            code="path_vqa.pickle",
            facts={"error": type(error).__name__},
        ) from None


def _nested(path: Path) -> Rows:
    try:
        return tuple(_flat(read_table(path).rows))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise DamagedInputError(
            "The JSON of a split is not the one of the authors' repository.",
            remedy="Fetch it again.",
            code="path_vqa.json",
        ) from None


def _flat(rows: Any) -> Iterator[dict[str, Any]]:
    """Yield one row for each question of each image."""
    for row in rows:
        pairs = zip(row["sentf"]["pvqa"], row["labelf"]["pvqa"], strict=True)
        for number, (question, label) in enumerate(pairs):
            answer = max(label, key=label.__getitem__)
            yield {
                "question_id": f"{row['img_id']}-{number}",
                "image_name": row["img_id"],
                "question": question,
                "answer": answer,
                "answer_type": "yes/no" if answer.lower() in ("yes", "no") else "other",
            }
