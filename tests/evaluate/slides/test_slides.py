"""Questions about slides: what an answer names, and the score with and without unread answers."""

from typing import Any

import numpy as np
import pytest

from longllava_domains import evaluate
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.slides.questions import read_choice, read_grade

ORGANS = ("Lung", "Liver", "Skin", "Small intestine")


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ('{"answer": 2}', 1),
        ('Reasoning first. {"reasoning": "dense", "answer": "3"}', 2),
        ("4", 3),
        ("B", 1),
        ("(C) Skin", 2),
        ("The answer is D.", 3),
        ("A section of the liver", 1),
        ("It is liver", 1),
        ("option 3", 2),
        ("Lung or liver", None),
        ("B or C", None),
        ("9", None),
        ("", None),
        ("no idea", None),
        ('{"answer": }', None),
    ],
)
def test_an_answer_names_one_option_or_none(answer: str, choice: int | None) -> None:
    assert read_choice(answer, ORGANS) == choice


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ('{"answer": 5}', 5),
        ("ISUP grade 3", 3),
        ("3 or 4", None),
        ("none", None),
        ("40x, grade 2", 2),
    ],
)
def test_a_grade_is_the_only_number(answer: str, grade: int | None) -> None:
    assert read_grade(answer) == grade


def multipathqa() -> list[dict[str, Any]]:
    truths = ["1"] * 6 + ["2"] * 2
    rows = [
        {"benchmark_name": "gtex", "file_id": f"s{k}", "answer": truth, "options": str(list(ORGANS)),
         "metric_type": "balanced_accuracy", "prompt": "Which organ? {options}"}
        for k, truth in enumerate(truths)
    ]  # fmt: skip
    rows.append(
        {
            "benchmark_name": "panda",
            "file_id": "p",
            "answer": "3",
            "options": "",
            "metric_type": "balanced_accuracy",
        }
    )
    rows.append(
        {
            "benchmark_name": "tcga_expert_vqa",
            "file_id": "t",
            "answer": "2",
            "options": "['Yes', 'No']",
            "metric_type": "accuracy",
        }
    )
    return rows


ANSWERS = ["1", "1", "1", "1", "1", "?", "2", "?", '{"answer": 3}', "No"]


def score(answers: list[Any] = ANSWERS, **settings: Any) -> Any:
    rows = [{"text": answer} for answer in answers]
    return evaluate.score("multipathqa", rows, multipathqa(), protocol="giant", **settings)


def test_classes_count_alike_and_unread_answers_are_wrong_with_both_figures_shown() -> None:
    found = score().metrics
    assert found["gtex/balanced_accuracy"] == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert found["gtex/balanced_accuracy_parsed"] == 1.0
    assert found["gtex/accuracy"] == pytest.approx(6 / 8)
    assert found["panda/balanced_accuracy"] == found["tcga_expert_vqa/accuracy"] == 1.0
    assert found["accuracy"] == pytest.approx(8 / 10)
    assert "tcga_expert_vqa/balanced_accuracy" not in found


def test_leaving_out_unread_answers_is_a_choice_that_is_stamped() -> None:
    found = score(parse_failures="drop")
    assert found.metrics["gtex/balanced_accuracy"] == 1.0
    assert found.settings["parse_failures"] == "drop"
    assert found.settings["answers_not_read"] == 2
    assert any("2 of 10 answers" in note for note in found.notes)
    with pytest.raises(PolicyError):
        score(parse_failures="ignore")


def test_balanced_accuracy_can_be_drawn_again() -> None:
    drawn = evaluate.with_intervals(score(), ["gtex/balanced_accuracy"], draws=200)
    interval = drawn.intervals["gtex/balanced_accuracy"]
    assert interval.low < 2 / 3 < interval.high


def test_slidebench_is_read_with_its_own_columns() -> None:
    references = [
        {"ID": k, "Slide": f"TCGA-{k // 2}", "Broad Category": "Diagnosis", "Question": "?",
         "A": "Lung", "B": "Liver", "C": "Skin", "D": "", "Answer": "B"}
        for k in range(4)
    ]  # fmt: skip
    answers = [{"id": k, "output": text} for k, text in enumerate(["B", "B. Liver", "liver", "C"])]
    found = evaluate.score("slidebench", answers, references, protocol="slidechat")
    assert found.metrics["Diagnosis/accuracy"] == found.metrics["accuracy"] == 0.75
    assert found.cluster == "slide"
    beside = evaluate.baselines("slidebench", references, protocol="slidechat")
    assert [each.metrics["accuracy"] for each in beside.values()] == [1.0, 0.0]


def test_open_questions_are_scored_by_words_in_common_and_stay_apart() -> None:
    references = [{"id": 1, "task": "open", "answer": "invasive ductal carcinoma"}]
    found = evaluate.score(
        "slidebench", [{"id": 1, "text": "ductal carcinoma"}], references, protocol="slidechat"
    )
    assert found.metrics == {"open/open_recall": pytest.approx(2 / 3)}
    assert not np.isnan(found.rows[0]["score"])
