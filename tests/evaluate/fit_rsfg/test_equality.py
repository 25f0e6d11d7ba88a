"""Questions and HRBEN: what equals the truth, officially and strictly."""

import json
from pathlib import Path

import pytest
from fit_rsfg_answers import metrics, row

from longllava_domains.errors import DamagedInputError
from longllava_domains.evaluate import score
from longllava_domains.evaluate.fit_rsfg import hrben_references


@pytest.mark.parametrize(
    ("answer", "truth", "official", "strict"),
    [
        ("Yes", "yes", 1, 1),
        ("yes.", "yes", 0, 1),
        (" yes", "yes", 0, 1),
        ("\uff59\uff45\uff53", "yes", 0, 1),
        ("Yes, there is", "yes", 0, 0),
        ("two", "2", 0, 0),
        ("", "yes", 0, 0),
        ("...", "yes", 0, 0),
    ],
)
def test_an_answer_beside_its_truth(answer: str, truth: str, official: int, strict: int) -> None:
    for protocol, expected in (("official", official), ("strict", strict)):
        found = metrics(protocol, row("count", truth, answer), benchmark="fit-rsfg/vqa")
        assert found == {"accuracy": expected, "accuracy/count": expected}


def test_an_empty_answer_equals_an_empty_truth_officially_and_is_no_question_strictly() -> None:
    rows = [row("a", "", ""), row("a", "yes", "no")]
    assert metrics("official", *rows, benchmark="fit-rsfg/vqa")["accuracy"] == 0.5
    assert metrics("strict", *rows, benchmark="fit-rsfg/vqa")["accuracy"] == 0.0


def test_accuracy_is_over_rows_and_by_category() -> None:
    rows = [row("a", "1", "1"), row("b", "1", "1"), row("B", "1", "1"), row("b", "1", "2")]
    found = metrics("official", *rows, benchmark="fit-rsfg/vqa")
    assert found == pytest.approx({"accuracy": 0.75, "accuracy/a": 1.0, "accuracy/b": 2 / 3})


def test_hrben_has_a_mean_over_rows_and_one_over_types() -> None:
    rows = [row("presence", "yes", "yes"), row("comp", "no", "yes"), row("comp", "no", "no")]
    rows += [row("comp", "no", "no"), row("count", "3", "3")]
    official = metrics("official", *rows, benchmark="hrben")
    assert official["accuracy"] == 0.75  # the scorer dies on other types: left out
    assert official["average_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    strict = metrics("strict", *rows, benchmark="hrben")
    assert strict["accuracy"] == 0.8
    assert strict["average_accuracy"] == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_hrben_without_one_type_has_no_average() -> None:
    found = metrics("official", row("presence", "yes", "yes"), benchmark="hrben")
    assert found == {"accuracy": 1.0, "accuracy/presence": 1.0}


def write_rsvqa(folder: Path) -> tuple[Path, Path]:
    questions = [
        {"id": 7, "img_id": 1, "type": "presence", "question": "Is there water?", "active": True},
        {"id": 8, "img_id": 1, "type": "comp", "question": "More roads than water?"},
        {"id": 9, "img_id": 2, "type": "comp", "question": "Left out?", "active": False},
    ]
    answers = [{"id": 7, "answer": "yes"}, {"id": 8, "answer": "no"}]
    paths = folder / "questions.json", folder / "answers.json"
    paths[0].write_text(json.dumps({"questions": questions, "license": "CC"}))
    paths[1].write_text(json.dumps({"answers": answers}))
    return paths


def test_hrben_answers_meet_the_two_files_of_rsvqa(tmp_path: Path) -> None:
    references = hrben_references(*write_rsvqa(tmp_path))
    answers = [{"question_id": 8, "answer": "yes"}, {"question_id": 7, "answer": "Yes"}]
    result = score("hrben", answers, references, protocol="official")
    assert result.metrics["accuracy/presence"] == 1.0
    assert result.metrics["accuracy/comp"] == 0.0
    assert result.metrics["average_accuracy"] == 0.5


def test_a_file_that_is_not_of_rsvqa_is_named(tmp_path: Path) -> None:
    questions, _ = write_rsvqa(tmp_path)
    with pytest.raises(DamagedInputError) as caught:
        hrben_references(questions, questions)
    assert caught.value.code == "evaluate.rsvqa"
