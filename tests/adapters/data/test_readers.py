"""Every layout is read from files written exactly as it is published."""

import json
import pickle
from pathlib import Path

import pytest
import training_sets

from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.readers.fit_rs import Chip, chip_of
from longllava_domains.adapters.data.readers.pubmedvision import normalised_modality
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.errors import (
    DamagedInputError,
    LongLlavaError,
    NotFoundError,
    PolicyError,
    UnsupportedInputError,
)


def samples(data: TrainingData) -> list[Sample]:
    found = []
    for place, sample in data:
        assert isinstance(sample, Sample), sample
        assert data.read(place) == sample
        found.append(sample)
    return found


def reasons(data: TrainingData) -> list[str]:
    return [found.reason if isinstance(found, RowError) else "" for _, found in data]


@pytest.mark.parametrize(("part", "rows"), [("alignment", 6), ("instruction", 6), ("both", 12)])
def test_pubmedvision_puts_a_line_for_each_image_first(tmp_path: Path, part, rows) -> None:
    data = open_data(f"{training_sets.write_pubmedvision(tmp_path)}#{part}", "pubmedvision")
    found = samples(data)
    assert (len(found), data.loss_on, data.terms.licence) == (rows, "last", "Apache-2.0")
    third = found[2]
    assert [len(sample.pictures) for sample in found[:3]] == [1, 2, 3]
    assert third.rounds[0][0] == "<image>\n" * 3 + "What is shown in figure 2?"
    assert third.facts == {"modality": "MR", "body_part": "Chest"}
    assert len(third.pictures[1].load()) == 1
    assert len({sample.key for sample in found}) == rows


def test_pubmedvision_drops_what_its_own_trainer_drops(tmp_path: Path) -> None:
    training_sets.write_pubmedvision(tmp_path)
    path = tmp_path / "PubMedVision_Alignment_VQA.json"
    rows = json.loads(path.read_text())
    rows[0]["image"] *= 9
    rows[1]["image"] = "images/one.jpg"
    rows[2]["conversations"] = rows[2]["conversations"][:1]
    path.write_text(json.dumps(rows))
    data = open_data(f"{tmp_path}#alignment", "pubmedvision")
    assert reasons(data) == ["too_many_images", "damaged_row", "no_answer", "", "", ""]


def test_spellings_of_a_modality_become_one() -> None:
    assert normalised_modality("MR (Mag-netic Resonance  Imaging)") == "MR"
    assert normalised_modality("Fundus Photography") == "Fundus Photography"


@pytest.mark.parametrize(("part", "task"), [("381k", None), ("tasks", "vqa")])
def test_fit_rs_chips_lead_back_into_their_scene(tmp_path: Path, part, task) -> None:
    data = open_data(f"{training_sets.write_fit_rs(tmp_path)}#{part}", "fit-rs")
    sample = samples(data)[2]
    assert sample.facts.get("task") == task
    assert (sample.facts["scene"], sample.facts["x"], sample.facts["y"]) == ("0102", "824", "1648")
    assert sample.pictures[0].load()[0].size == (40, 30)


def test_a_chip_name_is_read_as_scene_size_and_corner() -> None:
    assert chip_of("imgs/0007__512__412___824.png") == Chip("0007", 512, 412, 824)
    assert chip_of("0007__512__412__824.png") is None


def test_own_lines_may_have_no_image_one_or_several(tmp_path: Path) -> None:
    path = training_sets.write_llava(tmp_path)
    found = samples(open_data(path))
    assert [len(sample.pictures) for sample in found] == [1, 1, 1, 1, 0, 2]
    assert samples(open_data(tmp_path))[0].rounds == found[0].rounds


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "a/../../b.png"])
def test_a_row_may_not_point_out_of_its_folder(tmp_path: Path, name) -> None:
    row = {"image": name, "conversations": training_sets.turns("<image>?", "a")}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row))
    assert reasons(open_data(path)) == ["missing_image"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "damaged_row"),
        ({}, "damaged_row"),
        ({"conversations": [1]}, "damaged_row"),
        ({"conversations": [{"from": "human"}]}, "damaged_row"),
        ({"conversations": []}, "no_answer"),
        ({"image": 3, "conversations": training_sets.turns("q", "a")}, "damaged_row"),
        ({"image": [""], "conversations": training_sets.turns("q", "a")}, "damaged_row"),
        ({"image": "a.png", "conversations": training_sets.turns("<image><image>", "a")},
         "tag_mismatch"),
        ({"conversations": training_sets.turns("<image>?", "a")}, "tag_mismatch"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_sample_says_why(tmp_path: Path, row, reason) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([row]))
    assert reasons(open_data(path)) == [reason]


def test_sharegpt_follows_its_description(tmp_path: Path) -> None:
    training_sets.write_sharegpt(tmp_path)
    plain = samples(open_data(f"{tmp_path}#plain", "sharegpt"))
    tagged = samples(open_data(f"{tmp_path}#tagged", "sharegpt"))
    assert plain[0].rounds == (("<image>What is it?", "A bridge."),)
    assert tagged[0].rounds == (("<image>And this?", "A ship."),)
    assert tagged[0].pictures[0].is_there()
    with pytest.raises(UnsupportedInputError):
        open_data(f"{tmp_path}#alpaca", "sharegpt")
    with pytest.raises(NotFoundError, match="describes 3 data sets"):
        open_data(tmp_path, "sharegpt")


@pytest.mark.parametrize("layout", ["public", "prepared", "hub"])
def test_vqa_rad_is_the_same_in_its_three_layouts(tmp_path: Path, layout) -> None:
    training_sets.write_vqa_rad(tmp_path, layout)
    train, test = (
        samples(open_data(f"{tmp_path}#{part}", "vqa-rad")) for part in ("train", "test")
    )
    assert [sample.rounds[0][1] for sample in train] == ["Yes", "Yes", "3", "Yes", "Yes"]
    assert train[1].rounds[0][0] == "<image>\nIs finding 1 present?"
    assert len(test) == 2
    assert all(sample.pictures[0].load()[0].mode == "RGB" for sample in train)
    if layout != "hub":
        assert train[1].facts["answer_type"] == "CLOSED"


def test_path_vqa_reads_pickles_and_turns_cmyk_into_rgb(tmp_path: Path) -> None:
    found = samples(open_data(training_sets.write_path_vqa(tmp_path), "pathvqa"))
    assert [sample.rounds[0][1] for sample in found] == ["yes", "kidney"]
    assert found[1].pictures[0].load()[0].mode == "RGB"


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    training_sets.write_path_vqa(tmp_path)
    (tmp_path / "qas" / "train_vqa.pkl").write_bytes(pickle.dumps([Hostile()]))
    with pytest.raises(DamagedInputError, match="plain data"):
        open_data(tmp_path, "pathvqa")
    assert not (tmp_path / "ran").exists()


def test_ct_rate_pairs_reports_with_their_volumes(tmp_path: Path) -> None:
    data = open_data(f"{training_sets.write_ct_rate(tmp_path)}#valid", "ct-rate")
    assert reasons(data) == ["", "", "no_answer"]
    first, second = (sample for _, sample in data if isinstance(sample, Sample))
    assert first.rounds[0][1] == "Findings: Clear lungs.\nImpression: No acute finding."
    assert second.rounds[0][1] == "Findings: Clear lungs."
    assert first.group == second.group == "CT-RATE/valid_1"
    (volume,) = first.pictures
    assert volume.shape().views == len(volume.load()) == 12
    assert data.terms.licence == "CC-BY-NC-SA-4.0"


def test_radgenome_joins_the_sentences_of_a_region(tmp_path: Path) -> None:
    data = open_data(f"{training_sets.write_ct_rate(tmp_path)}#valid", "radgenome")
    heart, whole = samples(data)
    assert heart.rounds == (
        ("Describe the heart in this chest CT.", "The heart is normal. No effusion."),
    )
    assert "whole chest" in whole.rounds[0][0]


@pytest.mark.parametrize(
    ("source", "layout", "error"),
    [
        ("nowhere", "llava", NotFoundError),
        ("", "no-such-layout", PolicyError),
        ("#no-such-part", "pubmedvision", PolicyError),
        ("#no-such-part", "fit-rs", PolicyError),
        ("#no-such-part", "vqa-rad", PolicyError),
        ("#no-such-part", "pathvqa", PolicyError),
        ("#no-such-part", "ct-rate", PolicyError),
        ("", "llava", NotFoundError),
        ("", "sharegpt", NotFoundError),
        ("", "pubmedvision", NotFoundError),
        ("", "fit-rs", NotFoundError),
        ("", "vqa-rad", NotFoundError),
        ("", "pathvqa", NotFoundError),
        ("", "ct-rate", NotFoundError),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, source, layout, error) -> None:
    place = f"{tmp_path}{'/' if source == 'nowhere' else ''}{source}"
    with pytest.raises(error) as caught:
        open_data(place, layout)
    assert isinstance(caught.value, LongLlavaError)
    assert str(tmp_path) not in str(caught.value)
