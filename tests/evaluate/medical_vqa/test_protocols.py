"""VQA-RAD and PathVQA in every layout, under every protocol."""

import json
from typing import Any

import pytest
from medical_golden import SHARED, golden, needs_golden

from longllava_domains import evaluate
from longllava_domains.errors import InputError, PolicyError

REFERENCES = [
    {
        "qid": 1,
        "image_name": "a.jpg",
        "question": "Is it axial?",
        "answer": "Yes",
        "answer_type": "CLOSED",
    },
    {
        "qid": 2,
        "image_name": "a.jpg",
        "question": "Which plane?",
        "answer": "axial",
        "answer_type": "CLOSED ",
    },
    {
        "qid": 3,
        "image_name": "b.jpg",
        "question": "Where is it?",
        "answer": "left lung",
        "answer_type": "OPEN",
    },
    {"qid": 4, "image_name": "b.jpg", "question": "How many?", "answer": 10, "answer_type": "OPEN"},
]
ANSWERS = [
    {"question_id": 1, "text": "Yes, it is."},
    {"question_id": 2, "text": "axial"},
    {"question_id": 3, "text": "In the left lung"},
    {"question_id": 4, "text": "ten"},
]


def score(
    protocol: str, answers: Any = ANSWERS, references: Any = REFERENCES, **settings: Any
) -> Any:
    return evaluate.score("vqa-rad", answers, references, protocol=protocol, **settings)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("llava-med", {"open/recall": 1.0, "closed/accuracy": 0.5}),
        ("huatuo-mcq", {"accuracy": 1.0}),
        ("medevalkit", {"closed/accuracy": 1.0, "open/exact_match": 1 / 3, "accuracy": 0.5}),
        ("vila-m3", {"closed/accuracy": 0.5}),
        ("lmms-eval", {"closed/accuracy": 0.5, "open/accuracy": 0.0, "accuracy": 0.25}),
        ("vlmevalkit", {"closed/accuracy": 0.5, "open/accuracy": 0.0, "accuracy": 0.25}),
        ("strict", {"closed/accuracy": 0.5, "open/accuracy": 0.0, "accuracy": 0.25}),
        ("first-yes-no", {"closed/accuracy": 0.5}),
    ],
)
def test_one_file_has_another_score_under_each_protocol(protocol: str, expected) -> None:
    found = score(protocol)
    assert {name: found.metrics[name] for name in found.headline} == pytest.approx(expected)
    assert found.cluster == "image"


def test_closed_by_type_or_by_the_answer_is_the_users_choice() -> None:
    assert score("strict", closed="yes-no").metrics["closed/accuracy"] == 0.0
    assert score("strict", closed="yes-no").settings["closed"] == "yes-no"
    untyped = [{k: v for k, v in row.items() if k != "answer_type"} for row in REFERENCES]
    found = score("strict", references=untyped)
    assert found.settings["closed"] == "yes-no"
    assert found.settings["build"] == "hf-dedup"
    assert any("no answer_type" in note for note in found.notes)


def test_the_older_denominator_leaves_out_wrong_decisions() -> None:
    answers = [{**row, "text": "no"} if row["question_id"] == 1 else row for row in ANSWERS]
    found = score("llava-med", answers)
    assert found.metrics["closed/accuracy"] == found.metrics["closed/accuracy_all"] == 0
    assert score("llava-med", answers, denominator="answered").metrics["closed/accuracy"] == 0
    right = score("llava-med", denominator="answered").metrics
    assert right["closed/accuracy"] == right["closed/accuracy_answered"] == 0.5
    path = evaluate.score(
        "path-vqa",
        [{"id": 1, "text": "yes"}, {"id": 2, "text": "no"}],
        [{"id": k, "answer": "yes", "answer_type": "yes/no"} for k in (1, 2)],
        protocol="llava-med",
    )
    assert path.metrics["closed/accuracy"] == 1.0
    assert path.metrics["closed/accuracy_all"] == 0.5


def test_every_layout_of_the_references_is_read() -> None:
    turns = [
        {
            "id": row["qid"],
            "image": row["image_name"],
            "answer_type": row["answer_type"],
            "conversatons": [
                {"from": "human", "value": row["question"]},
                {"from": "gpt", "value": str(row["answer"])},
            ],
        }
        for row in REFERENCES
    ]
    assert score("llava-med", references=turns).metrics == score("llava-med").metrics
    official = [
        {
            "question_id": row["qid"],
            "img_id": row["image_name"],
            "sent": row["question"],
            "label": {str(row["answer"]): 1},
            "answer_type": {"CLOSED": "yes/no"}.get(row["answer_type"].strip(), "other"),
        }
        for row in REFERENCES
    ]
    assert score("llava-med", references=official).metrics == score("llava-med").metrics


def test_the_original_file_keeps_test_rows_and_adds_rephrased_questions() -> None:
    rows = [
        {**row, "phrase_type": "test_freeform", "question_rephrase": "NULL"} for row in REFERENCES
    ]
    rows[0]["question_rephrase"] = "Is the plane axial?"
    rows.append({**rows[0], "qid": 9, "phrase_type": "freeform"})
    answers = [*ANSWERS, {"question_id": "1-rephrase", "text": "no"}]
    found = score("vila-m3", answers, rows)
    assert found.settings["build"] == "osf"
    assert (found.counts.references, found.counts.scored) == (5, 3)
    assert found.metrics["closed/accuracy"] == pytest.approx(1 / 3)


def test_a_bundle_is_read_for_its_own_benchmark_only() -> None:
    rows = [
        {"id": 1, "dataset": "VQA-RAD", "options": "['Liver', 'Spleen']", "answer": "Spleen", "answer_label": "B", "subset": "x"},
        {"id": 2, "dataset": "VQA-RAD", "options": [], "answer": "?", "question_type": "open"},
        {"id": 3, "dataset": "PathVQA", "options": ["Yes", "No"], "answer": "No"},
    ]  # fmt: skip
    answers = [{"id": k, "model_output": "B"} for k in (1, 2, 3)]
    found = score("huatuo-mcq", answers, rows)
    assert found.metrics == {"accuracy": 1.0, "subset/x": 1.0}
    assert (found.counts.scored, found.counts.unscored, found.counts.extra) == (1, 1, 1)
    path = evaluate.score("path-vqa", answers, rows, protocol="huatuo-mcq")
    assert path.metrics["accuracy"] == 1.0
    with pytest.raises(InputError):
        score("huatuo-mcq", answers, rows[2:])


def test_answers_that_would_abort_the_official_scorer_are_counted() -> None:
    assert any("1 answers have no letter" in note for note in score("huatuo-mcq").notes)


def test_a_missing_answer_that_counts_as_wrong_scores_0_everywhere() -> None:
    for protocol in evaluate.PROTOCOLS["vqa-rad"]:
        found = score(protocol, ANSWERS[1:], missing="wrong")
        assert found.counts.missing == 1
        row = next(row for row in found.rows if row["id"] == "1")
        assert (row["score"], row["why"]) == (0.0, "missing")


@pytest.mark.parametrize("setting", ["build", "closed", "denominator"])
def test_unknown_choices_are_refused(setting: str) -> None:
    with pytest.raises(PolicyError) as caught:
        score("llava-med", **{setting: "other"})
    assert caught.value.code == f"medical_vqa.{setting}"


VQA_RAD = SHARED / "data" / "vqa_rad" / "test.json"
needs_vqa_rad = pytest.mark.skipif(
    not VQA_RAD.exists(), reason="the real VQA-RAD is not beside this checkout"
)


@needs_vqa_rad
@needs_golden
def test_oracle_and_constants_on_the_real_test_set_score_as_published() -> None:
    expected = golden("llava_med_v1")["vqa_rad_mevf_testset"]
    rows = json.loads(VQA_RAD.read_text())

    def run(answer) -> Any:
        return score(
            "llava-med", [{"qid": r["qid"], "text": answer or r["answer"]} for r in rows], VQA_RAD
        )

    oracle = run(None)
    assert 100 * oracle.metrics["closed/accuracy"] == pytest.approx(
        expected["oracle_closed"], abs=1e-4
    )
    assert oracle.metrics["closed/accuracy"] * 272 == pytest.approx(expected["oracle_closed_hits"])
    assert 100 * oracle.metrics["open/recall"] == expected["oracle_open_recall"]
    assert 100 * oracle.metrics["open/exact_match"] == pytest.approx(
        expected["oracle_open_em"], abs=5e-3
    )
    for answer, name in (("yes no", "const_yes_no"), ("yes", "const_yes"), ("no", "const_no")):
        assert 100 * run(answer).metrics["closed/accuracy"] == pytest.approx(
            expected[name], abs=5e-3
        )
