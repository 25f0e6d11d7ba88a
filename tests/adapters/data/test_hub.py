"""Data sets of the hub: four ways to write a conversation, one image or several, in Parquet."""

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from training_sets import image_bytes, turns

from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.errors import DamagedInputError, NotFoundError


def cell(seed: int) -> dict[str, Any]:
    return {"bytes": image_bytes(seed), "path": None}


def written(folder: Path, **columns: list[Any]) -> Path:
    (folder / "data").mkdir(parents=True)
    table = pyarrow.table(columns)
    parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet", row_group_size=1)
    return folder


WAYS: dict[str, dict[str, list[Any]]] = {
    "conversations": {
        "images": [[cell(0), cell(1)], []],
        "conversations": [turns("<image> or <image>?", "The first."), turns("Hello?", "Hello.")],
    },
    "messages": {
        "images": [[cell(0), cell(1)], None],
        "messages": [
            [
                {"role": "user", "content": [
                    {"type": "image", "text": None}, {"type": "image", "text": None},
                    {"type": "text", "text": "Which?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "The first."}]},
            ],
            [
                {"role": "user", "content": [{"type": "text", "text": "Hello?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            ],
        ],
    },
    "texts": {
        "images": [[cell(0), cell(1)], []],
        "texts": [
            [{"user": "Which?", "assistant": "The first."}],
            [{"user": "Hello?", "assistant": "Hello."}],
        ],
    },
    "question": {
        "image": [cell(0), None],
        "question": ["Which?", "Hello?"],
        "answer": ["The first.", "Hello."],
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_way_makes_the_same_conversation(tmp_path: Path, way: str) -> None:
    data = open_data(written(tmp_path / "set", **WAYS[way]), "hub")
    first, second = (sample for _, sample in data)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert len(first.pictures) == (1 if way == "question" else 2)
    assert all(len(picture.load()) == 1 for picture in first.pictures)
    assert [answer for _, answer in first.rounds + second.rounds] == ["The first.", "Hello."]
    assert second.pictures == ()
    assert data.name == "set"
    place = next(iter(data))[0]
    assert data.read(place).rounds == first.rounds


def test_rows_that_make_no_sample_say_why(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", image=[cell(0)] * 2, question=["What?", None],
                     answer=["", "No."])  # fmt: skip
    reasons = [found.reason for _, found in open_data(folder, "hub") if isinstance(found, RowError)]
    assert reasons == ["no_answer", "damaged_row"]


def test_what_is_no_such_data_set_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", image=[cell(0)], caption=["A ship."])
    with pytest.raises(DamagedInputError, match="no column conversations"):
        open_data(folder, "hub")
    with pytest.raises(NotFoundError):
        open_data(f"{folder}#test", "hub")
    (folder / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedInputError, match="no Parquet"):
        open_data(folder, "hub")
