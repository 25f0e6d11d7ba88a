import json
from pathlib import Path

import pytest
import training_sets

from longllava_domains.adapters.data.check import Catalogue, check_data
from longllava_domains.adapters.data.encode import Encoder
from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.sample import REASONS


def checked(path: Path | str, encoder: Encoder, layout: str = "llava", **how: object) -> Catalogue:
    return check_data(open_data(path, layout), encoder, **{"max_tokens": 10_000, **how})  # type: ignore[arg-type]


def write_rows(folder: Path, rows: list[object]) -> Path:
    path = folder / "train.json"
    path.write_text(json.dumps(rows))
    return path


def row(question: str, answer: str = "Yes.", image: object = None) -> dict[str, object]:
    return {"image": image, "conversations": training_sets.turns(question, answer)}


def test_every_row_that_is_left_out_is_counted_and_named(tmp_path: Path, encoder: Encoder) -> None:
    training_sets.write_images(tmp_path, ["a.png"])
    (tmp_path / "broken.png").write_bytes(b"no image")
    path = write_rows(
        tmp_path,
        [
            row("<image>?", image="a.png"),
            row("<image>?", image="a.png"),
            row("<image>?", image="missing.png"),
            row("<image>?", image="broken.png"),
            row("<image><image>?", image="a.png"),
            row("long " * 200),
            {"conversations": []},
            "no object",
            row("half\ud800 a character"),
        ],
    )
    found = checked(path, encoder, max_tokens=100, decode=True)
    assert found.report.dropped == {
        "duplicate": 1, "missing_image": 1, "damaged_image": 1, "tag_mismatch": 1, "too_long": 1,
        "no_answer": 1, "damaged_row": 1, "bad_text": 1,
    }  # fmt: skip
    assert (found.report.rows, found.report.kept, len(found)) == (9, 1, 1)
    assert found.report.examples["too_long"] == (6,)
    text = "\n".join(found.report.lines())
    assert "1 of 9 rows can be trained on" in text
    assert all(REASONS[reason] in text for reason in found.report.dropped)


def test_without_decoding_a_damaged_image_is_not_seen(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    path = write_rows(tmp_path, [row("<image>?", image="broken.png")])
    assert checked(path, encoder).report.kept == 1


def test_only_the_first_rows_are_named(tmp_path: Path, encoder: Encoder) -> None:
    found = checked(write_rows(tmp_path, [{}] * 8), encoder)
    assert found.report.examples["damaged_row"] == (1, 2, 3, 4, 5)
    assert "row 1, 2, 3, 4, 5, ..." in "\n".join(found.report.lines())


def test_lengths_are_those_of_the_encoded_samples(tmp_path: Path, encoder: Encoder) -> None:
    found = checked(training_sets.write_pubmedvision(tmp_path), encoder, "pubmedvision")
    for number in range(len(found)):
        encoded = encoder.encode(found.sample(number))
        assert found.tokens[number] == len(encoded.input_ids)
        assert found.learned[number] == encoded.learned
        assert found.views[number] == encoded.views == len(found.sample(number).pictures)


@pytest.mark.parametrize("layout", ["public", "prepared", "hub"])
def test_rows_that_stand_in_an_evaluation_set_are_dropped(
    tmp_path: Path, encoder: Encoder, layout: str
) -> None:
    training_sets.write_vqa_rad(tmp_path, layout)
    test = open_data(f"{tmp_path}#test", "vqa-rad")
    found = checked(f"{tmp_path}#train", encoder, "vqa-rad", evaluation=[test])
    assert found.report.dropped == {"in_evaluation": 1}
    assert found.report.examples == {"in_evaluation": (2,)}
    # Rows 1, 4 and 5 show the images of the two test rows, with other questions.
    assert found.report.warnings == {"image_in_evaluation": 3}
    assert "evaluation set shows, too" in "\n".join(found.report.lines())


def test_the_same_image_under_another_name_is_recognised(tmp_path: Path, encoder: Encoder) -> None:
    training_sets.write_images(tmp_path, ["a.png"])
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    for name, image, text in (
        ("eval", "a.png", "<image>\nIs it?"),
        ("train", "copy.png", "<image>is it"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.json").write_text(json.dumps([row(text, "yes", image)]))
    evaluation = [open_data(tmp_path / "eval.json")]
    found = checked(tmp_path / "train.json", encoder, evaluation=evaluation)
    assert found.report.dropped == {"in_evaluation": 1}


def test_patients_of_an_evaluation_set_are_dropped(tmp_path: Path, encoder: Encoder) -> None:
    source = f"{training_sets.write_ct_rate(tmp_path)}#valid"
    evaluation = [open_data(source, "radgenome")]  # other texts, one of the same patients
    found = checked(source, encoder, "ct-rate", evaluation=evaluation)
    assert found.report.dropped == {"in_evaluation": 2, "no_answer": 1}


def test_an_empty_file_is_an_empty_catalogue(tmp_path: Path, encoder: Encoder) -> None:
    assert len(checked(write_rows(tmp_path, []), encoder)) == 0
