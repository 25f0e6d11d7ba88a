"""FIT-RSRC: the letter that an answer states, and questions asked in turns."""

from pathlib import Path

import pytest
from fit_rsfg_answers import row

from longllava_domains.adapters.phantoms import write_benchmark
from longllava_domains.evaluate import load_dataset, score
from longllava_domains.evaluate.fit_rsfg.choices import CATEGORIES


@pytest.mark.parametrize(
    ("answer", "truth", "official", "strict"),
    [
        ("B", "B", 1, 1),
        ("b", "B", 1, 1),
        ("B. over", "B", 1, 1),
        ("b. over", "B", 0, 1),
        ("(B) over", "B", 1, 1),
        ("A ship, so B", "B", 0, 0),
        ("A ship, so B", "A", 1, 0),
        ("the answer is B", "B", 1, 0),
        ("F", "B", 0, 0),
        ("", "B", 0, 0),
    ],
)
def test_the_letter_of_an_answer(answer: str, truth: str, official: int, strict: int) -> None:
    for protocol, expected in (("official", official), ("strict", strict)):
        found = score("fit-rsrc", [row("exist", truth, answer)], protocol=protocol)
        assert found.metrics == {"accuracy": expected, "accuracy/exist": expected}


def turns(number: int, category: str, *answers: str) -> list[dict[str, object]]:
    return [row(category, "A", answer, question_id=number) for answer in answers]


def test_a_question_is_right_when_all_of_its_turns_are() -> None:
    rows = turns(1, "object", "A", "A", "A", "B") + turns(2, "object", "A", "A")
    rows += turns(3, "subject", "A")
    found = score("fit-rsrc", rows, protocol="official")
    assert found.metrics == pytest.approx(
        {"accuracy": 2 / 3, "accuracy/object": 0.5, "accuracy/subject": 1.0}
    )
    assert any("3 questions in 7 rows" in note for note in found.notes)


def test_one_id_in_two_categories_is_two_questions() -> None:
    rows = turns(1, "object", "A") + turns(1, "Subject", "B")
    assert score("fit-rsrc", rows, protocol="official").metrics["accuracy"] == 0.5


def test_a_category_of_another_name_is_left_out_officially() -> None:
    rows = turns(1, "colour", "A") + turns(2, CATEGORIES[0], "B")
    official = score("fit-rsrc", rows, protocol="official")
    assert official.metrics["accuracy"] == 0.0
    assert official.counts.unscored == 1
    assert score("fit-rsrc", rows, protocol="strict").metrics["accuracy"] == 0.5


def test_the_turns_of_the_released_file_are_one_question_each(tmp_path: Path) -> None:
    data = load_dataset("fit-rsrc", write_benchmark("fit-rsrc", tmp_path / "data", size=3))
    answers = [
        {"question_id": each["question_id"], "answer": each["ground_truth"]}
        for each in data.references
    ]
    assert len(answers) == len({each["question_id"] for each in answers}) == 12
    answers[5]["answer"] = "E"
    for protocol in ("official", "strict"):
        found = score("fit-rsrc", answers, data, protocol=protocol)
        assert found.metrics == pytest.approx(
            {"accuracy": 2 / 3, "accuracy/relationship": 1.0, "accuracy/object": 0.0,
             "accuracy/subject": 1.0}
        )  # fmt: skip
        assert "3 questions in 12 rows" in " ".join(found.notes)
