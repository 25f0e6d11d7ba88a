"""VQA-RAD (Lau et al. 2018): the original file, the MEVF split, and the hub's build."""

from pathlib import Path
from typing import Any, Final

from longllava_domains.evaluate.datasets.dataset import (
    Dataset,
    first_file,
    not_found,
    question_leakage,
)
from longllava_domains.evaluate.datasets.hub_tables import find_shards, read_shards
from longllava_domains.evaluate.predictions import read_table

LICENCE: Final = "CC0 1.0; cite Lau et al., Scientific Data 5 (2018)"
_TRAIN: Final = ("train.json", "trainset.json")
_TEST: Final = ("test.json", "testset.json")
_ORIGINAL: Final = ("VQA_RAD Dataset Public.json", "VQA_RAD_Dataset_Public.json")


def load_vqa_rad(folder: Path) -> Dataset:
    """Read VQA-RAD from a folder.

    Args:
        folder: With ``train.json`` and ``test.json`` (or ``trainset.json`` and ``testset.json``, as
            the MEVF authors split it), with the original single file, or with the hub's Parquet.

    Raises:
        NotFoundError: None of these is there.
        DamagedInputError: A file cannot be read.
    """
    train, test = first_file(folder, _TRAIN), first_file(folder, _TEST)
    if train is not None and test is not None:
        return _dataset("mevf", _rows(train), _rows(test))
    original = first_file(folder, _ORIGINAL)
    if original is not None:
        rows = _rows(original)
        tested = [str(row.get("phrase_type")).startswith("test_") for row in rows]
        return _dataset(
            "osf",
            tuple(row for row, is_test in zip(rows, tested, strict=True) if not is_test),
            tuple(row for row, is_test in zip(rows, tested, strict=True) if is_test),
        )
    shards = {split: find_shards(folder, split) for split in ("train", "test")}
    if all(shards.values()):
        return _dataset("hf-dedup", read_shards(shards["train"]), read_shards(shards["test"]))
    raise not_found(
        "VQA-RAD", "train.json and test.json, the original JSON file, or data/*.parquet"
    )


def _rows(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(dict(row) for row in read_table(path).rows)


def _dataset(
    build: str, train: tuple[dict[str, Any], ...], test: tuple[dict[str, Any], ...]
) -> Dataset:
    leaks = question_leakage(train, test)
    notes = []
    if leaks["test images in train"]:
        notes.append(
            f"{leaks['test images in train']} of {leaks['test images']} test images are in the "
            f"training split, {leaks['test questions on the same image in train']} questions on "
            "them too: a model trained on it has seen the test"
        )
    return Dataset("vqa-rad", build, {"train": train, "test": test}, LICENCE, tuple(notes), leaks)
