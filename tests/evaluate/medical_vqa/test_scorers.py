"""Each scorer on invented answers, and on those that the official scorers were run on."""

import pytest
from medical_golden import golden, needs_golden

from longllava_domains.evaluate.medical_vqa import llava_med, medevalkit, plain
from longllava_domains.evaluate.medical_vqa.choices import (
    huatuo_option,
    lmms_eval_option,
    vlmevalkit_option,
)
from longllava_domains.evaluate.medical_vqa.questions import Question

ORGANS = ("Liver", "Spleen", "Left kidney", "No organ")


def asked(answer: str, truth: str, closed: bool = True) -> Question:
    return Question("0", "", truth, answer, closed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Liver!", "liver"),
        ("liver,spleen", "liver spleen"),  # a comma that touches no blank becomes one
        ("liver, spleen,kidney", "liver spleenkidney"),  # one touching blank joins them all
        ("12,500 cells (high-grade)", "12500 cells highgrade"),  # digits round a comma join all
        ("Answer: none", "answer: 0"),
        ("seven of ten", "7 of 10"),
        ("it wasnt the aorta", "it wasn't aorta"),
        ("somebody'd", "somebodyd"),
        ("she's", "she's"),
        ("3.5 mm. wide.", "3.5 mm wide"),
        ("x." * 40, "x" * 32 + "x." * 7 + "x."),  # only the first 32 periods go
        ("grade iv/v", "grade iv v"),
    ],
)
def test_normalising_follows_the_original_rules_and_accidents(text: str, expected: str) -> None:
    assert llava_med.normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "truth", "hit", "answered"),
    [
        ("Yes.", "yes", 1, True),
        ("No mass.", "yes", 0, False),  # left out of the older denominator
        ("The image is sagittal", "sagittal", 0, True),  # no yes or no in it
        ("abnormality", "no", 1, True),  # "no" stands inside the word
        ("", "no", 0, True),
    ],
)
def test_a_closed_answer_is_right_if_the_truth_is_part_of_it(answer, truth, hit, answered) -> None:
    scores = llava_med.judge_closed(asked(answer, truth), answered_only=False).scores
    assert scores["closed/accuracy"] == scores["closed/accuracy_all"] == hit
    assert ("closed/accuracy_answered" in scores) == answered
    older = llava_med.judge_closed(asked(answer, truth), answered_only=True).scores
    assert ("closed/accuracy" in older) == answered


def test_open_answers_are_scored_by_words_in_common() -> None:
    found = llava_med.overlap("fluid in the pleural space on the right", "right pleural fluid")
    assert (found.recall, found.precision) == (1, pytest.approx(3 / 6))
    twice = llava_med.overlap("fluid fluid air", "fluid bones bones")
    assert twice.recall == 2 / 4  # the answer's count of the shared word, in recall too
    assert twice.exact_match == 1 / 3
    assert llava_med.overlap("", "fluid").recall == llava_med.overlap("fluid", "").recall == 0


def test_open_accuracy_needs_the_candidates_that_were_never_released() -> None:
    question = asked("it is in the left kidney", "left kidney", closed=False)
    assert "open/accuracy" not in llava_med.judge_open(question, ()).scores
    scores = llava_med.judge_open(question, ("Liver", "The left kidney", "spleen")).scores
    assert scores["open/accuracy"] == 1


@pytest.mark.parametrize(
    ("answer", "letter", "step"),
    [
        ("(B)", "B", 1),
        ("c. Left kidney", "c", 1),  # lower case is read and never right
        ("A spleen is shown", "B", 2),
        ("spleen, then liver", "A", 2),  # what stands last
        ("答案为C", "C", 1),
        ("kidny left", "C", 3),
        ("", "D", 3),
    ],
)
def test_huatuo_reads_letters_then_texts_then_similarity(answer, letter, step) -> None:
    assert huatuo_option(answer, ORGANS) == (letter, step)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(A) or (C)?", "C"),
        ("B.", "B"),
        ("The answer is B and not C here", "C"),
        ("this picture clearly shows the spleen again", "B"),
        ("spleen", None),  # too short for texts: the original draws a letter at random
    ],
)
def test_lmms_eval_reads_letters_and_long_answers(answer, letter) -> None:
    assert lmms_eval_option(answer, ORGANS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("Option B: spleen", "B"),
        ("A or B", None),
        ("B because of these six more words here", None),
        ("spleen", "B"),
        ("Cannot determine the answer", "Z"),
        ("the spleen and the liver", None),
        ("the spleen " * 20, None),
    ],
)
def test_vlmevalkit_infers_one_letter_or_one_text(answer, letter) -> None:
    assert vlmevalkit_option(answer, ORGANS) == letter


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("yes", "yes", 1),
        ("Yes, no doubt", "yes", 0),
        ("<think>no</think><answer>yes</answer>", "yes", 1),
        ("\\boxed{no}", "no", 1),
        ("boxed up", "no", 0),
        ("I say no. The final answer is yes", "yes", 1),
        ("diagnosis", "no", 1),
    ],
)
def test_medevalkit_asks_for_one_of_yes_and_no(answer, truth, right) -> None:
    assert medevalkit.judge(asked(answer, truth)).scores["closed/accuracy"] == right


def test_medevalkit_publishes_rotated_columns_and_the_true_ones_stand_beside() -> None:
    scores = medevalkit.judge(asked("left kidney stone", "left kidney", closed=False)).scores
    precision, recall = 2 / 3, 1.0
    f1 = 2 * precision * recall / (precision + recall)
    assert scores["open/corrected_precision"] == scores["open/recall"] == precision
    assert scores["open/corrected_recall"] == scores["open/f1"] == recall
    assert scores["open/corrected_f1"] == scores["open/precision"] == pytest.approx(f1)
    assert medevalkit.judge(asked("", "left", closed=False)).scores["open/rouge1"] == 0


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [("True", "yes", 1), ("X-Ray", "x ray", 1), ("CT (axial)", "ct", 1), ("yes it is", "yes", 0)],
)
def test_lmms_eval_unites_words_before_comparing(answer, truth, right) -> None:
    assert plain.judge_lmms_eval(asked(answer, truth)).scores["accuracy"] == right


def test_strict_and_first_yes_no_differ_where_an_answer_explains_itself() -> None:
    question = asked("Yes, since the liver is not seen. No more.", "yes")
    assert plain.judge_strict(question).scores["closed/accuracy"] == 0
    assert plain.judge_first_yes_no(question).scores["closed/accuracy"] == 1
    assert plain.judge_strict(asked(" YES. ", "yes")).scores["closed/accuracy"] == 1
    assert plain.judge_first_yes_no(asked("nothing", "no")).scores["closed/accuracy"] == 0
    assert plain.judge_first_yes_no(asked("no", "no", closed=False)).scores == {}


@needs_golden
def test_normalised_texts_equal_the_official_ones() -> None:
    for text, expected in golden("llava_med_v1")["normalise"]:
        assert llava_med.normalise(text) == expected, text


@needs_golden
def test_closed_hits_equal_the_official_ones() -> None:
    for answer, truth, hit in golden("llava_med_v1")["closed"]:
        found = llava_med.judge_closed(asked(answer, truth), answered_only=False)
        assert found.scores["closed/accuracy"] == hit, answer


@needs_golden
def test_open_scores_equal_the_official_ones() -> None:
    names = [f"open/{name}" for name in ("recall", "precision", "f1", "exact_match")]
    for answer, truth, *expected in golden("llava_med_v1")["open_pred_ref_recall_precision_f1_em"]:
        scores = llava_med.judge_open(asked(answer, truth, closed=False), ()).scores
        assert [scores[name] for name in names] == pytest.approx(expected, abs=1e-9), answer


@needs_golden
def test_huatuos_letters_equal_the_official_ones() -> None:
    for answer, options, letter, step in golden("huatuo_mcq_pred_options_letter_step"):
        assert huatuo_option(answer, options) == (letter, step), answer


@needs_golden
def test_medevalkits_scores_equal_the_official_ones() -> None:
    for truth, answer, right in golden("medevalkit_closed_gt_pred_score"):
        assert medevalkit.judge(asked(answer, truth)).scores["closed/accuracy"] == right, answer
    case = golden("medevalkit_f1_helper")
    found = medevalkit.f1_precision_recall(case["pred"], case["ref"])
    assert found == pytest.approx(case["returned_f1_p_r"])
