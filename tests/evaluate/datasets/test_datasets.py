"""Benchmarks in the layouts they are distributed in, written here, and what leaks in them."""

import csv
import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from medical_golden import SHARED
from PIL import Image

from longllava_domains import evaluate
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.evaluate.datasets import load_dataset
from longllava_domains.evaluate.datasets.dataset import split_hash


def question(
    number: int, image: str, text: str = "Is it axial?", answer: Any = "yes", **more: Any
) -> Any:
    return {"qid": number, "image_name": image, "question": text, "answer": answer,
            "answer_type": "CLOSED", **more}  # fmt: skip


TRAIN = [question(1, "a.jpg"), question(2, "a.jpg", "Where?", "left"), question(3, "c.jpg")]
TEST = [question(4, "a.jpg", "is it  AXIAL?"), question(5, "b.jpg")]


def mevf(folder: Path, names: tuple[str, str] = ("train.json", "test.json")) -> Path:
    for name, rows in zip(names, (TRAIN, TEST), strict=True):
        (folder / name).write_text(json.dumps(rows))
    return folder


@pytest.mark.parametrize("names", [("train.json", "test.json"), ("trainset.json", "testset.json")])
def test_vqa_rad_says_what_its_splits_share(tmp_path: Path, names: tuple[str, str]) -> None:
    found = load_dataset("vqa-rad", mevf(tmp_path, names))
    assert found.build == "mevf"
    assert found.leakage == {
        "test images in train": 1,
        "test images": 2,
        "test questions on the same image in train": 1,
        "with the same answer": 1,
    }
    assert "has seen the test" in found.notes[0]
    assert "CC0" in found.licence


def test_an_image_disjoint_split_keeps_the_test_and_shares_nothing(tmp_path: Path) -> None:
    found = load_dataset("vqa-rad", mevf(tmp_path)).image_disjoint()
    assert [row["qid"] for row in found.splits["train"]] == [3]
    assert len(found.references) == 2
    assert found.leakage["test images in train"] == 0
    assert found.notes == ("image-disjoint: 2 rows of train removed",)


def test_the_original_file_is_parted_by_its_phrase_types(tmp_path: Path) -> None:
    rows = [
        question(1, "a.jpg", phrase_type="freeform", question_rephrase="NULL"),
        question(2, "a.jpg", phrase_type="test_para", question_rephrase="NULL"),
    ]
    (tmp_path / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))
    found = load_dataset("vqa-rad", tmp_path)
    assert found.build == "osf"
    assert [row["qid"] for row in found.references] == [2]


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), shade).save(file, "PNG")
    return file.getvalue()


def hub(folder: Path, splits: tuple[str, ...]) -> Path:
    (folder / "data").mkdir()
    for place, split in enumerate(splits):
        rows = [
            {"image": {"bytes": png(shade), "path": None}, "question": "?", "answer": "no"}
            for shade in (place, 100)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"data/{split}-00000-of-00001.parquet")
    return folder


def test_the_hubs_pictures_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    found = load_dataset("vqa-rad", hub(tmp_path, ("train", "test")))
    assert found.build == "hf-dedup"
    assert found.leakage["test images in train"] == 1
    assert "image" not in found.references[0]
    answers = [{"qid": k, "text": "no"} for k in range(2)]
    score = evaluate.score("vqa-rad", answers, found.references, protocol="medevalkit")
    assert score.metrics["closed/accuracy"] == 1


def path_vqa_official(folder: Path, value: Any = None) -> Path:
    (folder / "qas").mkdir()
    for split in ("train", "test"):
        rows = [
            {
                "question_id": k,
                "img_id": f"{split}_{k}",
                "sent": "?",
                "label": {"yes": 1},
                "answer_type": "yes/no",
            }
            for k in range(2)
        ]
        (folder / f"qas/{split}_vqa.pkl").write_bytes(pickle.dumps(value or rows))
    return folder


def test_path_vqa_is_read_from_each_layout(tmp_path: Path) -> None:
    nested = [
        {
            "img_id": "test_0",
            "sentf": {"pvqa": ["one?", "two?"]},
            "labelf": {"pvqa": [{"no": 1}, {"cell": 1}]},
        }
    ]
    folders = [tmp_path / name for name in ("official", "repository", "hub")]
    for folder in folders:
        folder.mkdir()
    (folders[1] / "pvqa_test.json").write_text(json.dumps(nested))
    official = load_dataset("path-vqa", path_vqa_official(folders[0]))
    repository = load_dataset("path-vqa", folders[1])
    from_hub = load_dataset("path-vqa", hub(folders[2], ("train", "validation", "test")))
    assert [d.build for d in (official, repository, from_hub)] == ["official", "repository", "hf"]
    assert official.leakage["test images in train"] == 0
    assert [row["answer_type"] for row in repository.references] == ["yes/no", "other"]
    assert set(from_hub.splits) == {"train", "val", "test"}
    answers = [{"id": "test_0-0", "text": "no"}, {"id": "test_0-1", "text": "a cell"}]
    score = evaluate.score("path-vqa", answers, repository.references, protocol="llava-med")
    assert score.metrics["open/recall"] == score.metrics["closed/accuracy"] == 1


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("value", [Hostile(), [Hostile()], [1, 2], {"a": 1}, [{"label": {}}]])
def test_a_pickle_that_is_not_plain_rows_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DamagedInputError) as caught:
        load_dataset("path-vqa", path_vqa_official(tmp_path, value))
    assert caught.value.code == "path_vqa.pickle"


def ct_rate(folder: Path, labels: tuple[str, ...] = CT_RATE_LABELS) -> Path:
    place = folder / "dataset/multi_abnormality_labels"
    place.mkdir(parents=True)
    for split in ("train", "valid"):
        with (place / f"{split}_predicted_labels.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["VolumeName", *labels])
            writer.writerows(
                [f"{split}_{k}_a_{n}.nii.gz", *[0] * len(labels)] for k in (1, 2) for n in (1, 2)
            )
            writer.writerow(["valid_2_a_1.nii.gz", *[0] * len(labels)])
    return folder


def test_ct_rate_says_what_its_labels_are_and_that_another_set_is_another(tmp_path: Path) -> None:
    found = load_dataset("ct-rate", ct_rate(tmp_path))
    assert found.leakage == {"volumes in both splits": 1}
    assert any("classifier" in note for note in found.notes)
    assert any("of 2 patients" in note for note in found.notes)
    assert any("another set" in note for note in found.notes)
    assert "no redistribution" in found.licence
    with pytest.raises(PolicyError):
        found.image_disjoint()


def test_a_label_table_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedInputError):
        load_dataset("ct-rate", ct_rate(tmp_path, CT_RATE_LABELS[1:]))


@pytest.mark.parametrize("name", ["vqa-rad", "path-vqa", "ct-rate"])
def test_an_empty_folder_is_refused_with_the_layouts(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_dataset(name, tmp_path)
    assert "folder that holds" in caught.value.remedy


def test_unknown_benchmarks_have_no_loader(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        load_dataset("imagenet", tmp_path)


def test_a_hash_knows_rows_in_any_order_and_nothing_else() -> None:
    assert split_hash(TRAIN) == split_hash([dict(reversed(row.items())) for row in TRAIN[::-1]])
    assert split_hash(TRAIN) != split_hash(TRAIN[:2])


@pytest.mark.skipif(
    not (SHARED / "data/vqa_rad").exists(), reason="the real VQA-RAD is not beside this checkout"
)
def test_the_real_vqa_rad_leaks_as_known() -> None:
    found = load_dataset("vqa-rad", SHARED / "data/vqa_rad")
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 3064, "test": 451}
    assert found.leakage["test images in train"] == found.leakage["test images"] == 203
    assert found.leakage["test questions on the same image in train"] == 14
    assert found.image_disjoint().leakage["test images in train"] == 0
