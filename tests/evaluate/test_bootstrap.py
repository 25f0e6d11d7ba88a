"""Intervals by drawing clusters again; what may be compared; what is visual."""

from dataclasses import replace
from typing import Any

import ct_rate_predictions
import numpy as np
import pytest

from longllava_domains import evaluate
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.bootstrap import difference, with_intervals
from longllava_domains.evaluate.predictions import Counts
from longllava_domains.evaluate.result import Result
from longllava_domains.evaluate.statistic import mean_statistic


def result_of(scores, clusters=None, protocol: str = "strict@1", **given) -> Result:
    statistic = mean_statistic(scores)
    rows = [
        {"id": str(k), **({} if clusters is None else {"image": clusters[k]})}
        for k in range(len(scores))
    ]
    return Result(
        "vqa-rad", protocol, {"accuracy": statistic.value},
        Counts(len(scores), len(scores), len(scores)), rows=rows, headline=("accuracy",),
        statistics={"accuracy": statistic}, cluster=None if clusters is None else "image", **given,
    )  # fmt: skip


def test_an_interval_of_independent_rows_is_about_that_of_a_proportion() -> None:
    scores = np.arange(400) % 4 == 0
    found = with_intervals(result_of(scores)).intervals["accuracy"]
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert found.low == pytest.approx(0.25 - half, abs=0.01)
    assert found.high == pytest.approx(0.25 + half, abs=0.01)


def test_rows_of_one_image_are_drawn_together_and_widen_the_interval() -> None:
    clusters = [f"{k // 10}.jpg" for k in range(400)]
    scores = np.array([k // 10 % 4 == 0 for k in range(400)])
    alone = with_intervals(result_of(scores)).intervals["accuracy"]
    together = with_intervals(result_of(scores, clusters)).intervals["accuracy"]
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_equal_seeds_give_equal_intervals_and_are_stamped() -> None:
    result = result_of(np.linspace(0, 1, 50))
    first, second = with_intervals(result, seed=4), with_intervals(result, seed=4)
    assert first.intervals == second.intervals != with_intervals(result, seed=5).intervals
    assert first.settings["bootstrap"]["seed"] == 4
    assert first.settings["bootstrap"]["clusters"] == 50


def test_a_score_that_never_varies_has_an_interval_of_no_width() -> None:
    found = with_intervals(result_of(np.ones(20))).intervals["accuracy"]
    assert (found.low, found.high) == (1.0, 1.0)


def test_too_little_to_draw_from_is_refused() -> None:
    with pytest.raises(PolicyError):
        with_intervals(result_of(np.ones(1)))
    with pytest.raises(PolicyError):
        with_intervals(result_of(np.ones(9), clusters=["a"] * 9))


def test_a_paired_difference_sees_what_separate_intervals_hide() -> None:
    scores = np.random.default_rng(0).random(300) < 0.5
    better = scores.copy()
    better[np.flatnonzero(~scores)[:12]] = True
    found = difference(result_of(better), result_of(scores), "accuracy")
    assert found.value == pytest.approx(12 / 300)
    assert not found.includes_zero
    assert difference(result_of(scores), result_of(scores), "accuracy").includes_zero
    with pytest.raises(PolicyError):
        difference(result_of(scores), result_of(scores), "f1")


def test_rows_whose_ids_repeat_are_compared_by_their_place() -> None:
    first, second = result_of(np.arange(40) % 2), result_of(np.zeros(40))
    repeated = [{"id": "1"}] * 40
    found = difference(replace(first, rows=repeated), replace(second, rows=repeated), "accuracy")
    assert found.value == 0.5


def test_results_are_compared_by_their_common_rows() -> None:
    long, short = result_of(np.arange(100) % 2), result_of(np.zeros(50))
    found = evaluate.compare({"a": long, "b": short}, force=True)
    assert any("different rows" in note for note in found.notes)
    assert found.differences["b"].value == -0.5
    assert "differs" in found.to_markdown()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"protocol": "llava-med@1"}, "different protocols"),
        ({"settings": {"closed": "yes-no"}}, "closed"),
        ({"notes": ("prompt mismatch: decoding",)}, "prompt mismatch"),
    ],
)
def test_what_was_scored_or_asked_otherwise_stays_out_unless_forced(changed, said) -> None:
    scores = np.arange(40) % 2
    results = {"a": result_of(scores), "b": result_of(scores, **changed)}
    with pytest.raises(PolicyError, match=said):
        evaluate.compare(results)
    assert said in " ".join(evaluate.compare(results, force=True).notes)


def test_what_cannot_be_resampled_is_not_compared() -> None:
    bare = replace(result_of(np.ones(4)), statistics={})
    with pytest.raises(PolicyError):
        evaluate.compare({"a": bare, "b": bare})
    with pytest.raises(PolicyError):
        evaluate.compare({"a": result_of(np.ones(4)), "b": bare}, force=True)
    with pytest.raises(PolicyError):
        evaluate.stand_beside(bare, {"blind": bare})


def test_one_result_is_no_comparison() -> None:
    with pytest.raises(PolicyError):
        evaluate.compare({"a": result_of(np.ones(4))})


REFERENCES = [
    {"qid": k, "image_name": f"{k // 3}.jpg", "question": "?", "answer": "yes" if k % 2 else "no", "answer_type": "CLOSED"}
    for k in range(120)
]  # fmt: skip


def answers(right) -> list[dict]:
    flip = {"yes": "no", "no": "yes"}
    return [
        {"qid": r["qid"], "text": r["answer"] if right(r["qid"]) else flip[r["answer"]]}
        for r in REFERENCES
    ]


def test_oracle_and_constants_stand_beside_under_the_same_protocol() -> None:
    found = evaluate.baselines("vqa-rad", REFERENCES, protocol="llava-med", closed="yes-no")
    values = {name: each.metrics["closed/accuracy"] for name, each in found.items()}
    assert values == {"oracle": 1.0, "always yes": 0.5, "always no": 0.5, "always yes no": 1.0}
    strict = evaluate.baselines("vqa-rad", REFERENCES, protocol="strict")
    assert strict["always yes no"].metrics["closed/accuracy"] == 0
    labels = ct_rate_predictions.make(10)[1]
    crg = {
        name: each.metrics["crg"]
        for name, each in evaluate.baselines("ct-rate", labels, protocol="vlm3d").items()
    }
    assert crg == pytest.approx({"oracle": 1, "always present": 1 / 3, "always absent": 1 / 3})


def test_a_score_that_a_blind_run_reaches_is_labelled_not_visual() -> None:
    def score(right) -> Any:
        return evaluate.score("vqa-rad", answers(right), REFERENCES, protocol="strict")

    seen, blind = score(lambda k: k % 3 > 0), score(lambda k: k % 3 < 2)
    card = evaluate.stand_beside(seen, {"blind": blind})
    assert any(note.startswith("not visual") for note in card.notes)
    assert any(note.startswith("no shuffled run") for note in card.notes)
    assert "| blind | 0.6667 |" in card.to_markdown()
    sharp = evaluate.stand_beside(score(lambda k: True), {"blind": blind, "shuffled": blind})
    assert not any(note.startswith("not visual") for note in sharp.notes)
    other = evaluate.score("vqa-rad", answers(bool), REFERENCES, protocol="first-yes-no")
    with pytest.raises(PolicyError):
        evaluate.stand_beside(seen, {"blind": other})


def test_a_metric_of_nearly_nothing_has_an_interval() -> None:
    """Smoothed BLEU of noise was 5e-157, whose cube is 0."""
    tiny = np.array([5e-157, 2e-157, 4e-157, 3e-157, 5e-157] * 8)
    rows = [{"id": k} for k in range(len(tiny))]
    bare = evaluate.Result(
        "b", "p", {"m": float(tiny.mean())}, Counts(40, 40, 40), rows=rows,
        statistics={"m": mean_statistic(tiny)},
    )  # fmt: skip
    found = evaluate.with_intervals(bare, draws=200).intervals["m"]
    assert 2e-157 <= found.low < found.high <= 5e-157
