"""CT-RATE predictions in every published layout, under every protocol."""

import csv
import json
from pathlib import Path
from typing import Any

import ct_rate_predictions
import numpy as np
import pytest
from medical_golden import golden, needs_golden

from longllava_domains import evaluate
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import InputError, PolicyError

PREDICTIONS, LABELS = ct_rate_predictions.make(40)


def score(
    protocol: str, predictions: Any = PREDICTIONS, labels: Any = LABELS, **settings: Any
) -> Any:
    return evaluate.score("ct-rate", predictions, labels, protocol=protocol, **settings)


def matrices(keep=lambda name: True) -> tuple[np.ndarray, np.ndarray]:
    rows = [
        ([p[k] for k in CT_RATE_LABELS], [t[k] for k in CT_RATE_LABELS])
        for p, t in zip(PREDICTIONS, LABELS, strict=True)
        if keep(p["VolumeName"])
    ]
    return np.array([p for p, _ in rows]), np.array([t for _, t in rows], bool)


def slow_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    best, chosen = np.inf, 0.0
    for cut in np.linspace(0, 1, 100):
        tpr = (scores[truth] > cut).mean()
        fpr = (scores[~truth] > cut).mean()
        distance = np.hypot(fpr, 1 - tpr)
        if distance <= best + 1e-12:
            best, chosen = min(best, distance), cut
    return chosen


def test_ct_clip_thresholds_each_label_on_the_evaluated_set() -> None:
    found = score("ct-clip")
    scores, truth = matrices()
    cuts = [slow_threshold(truth[:, k], scores[:, k]) for k in range(18)]
    assert list(found.settings["thresholds"].values()) == pytest.approx(cuts)
    accuracy = np.mean((scores > cuts) == truth, axis=0)
    assert found.metrics["macro/accuracy"] == pytest.approx(accuracy.mean())
    assert found.headline[-1] == "macro/f1_weighted"
    assert any("optimistic" in note for note in found.notes)


def test_vlm3d_calls_from_one_half_on() -> None:
    labels = [{"VolumeName": "valid_1_a_1", **dict.fromkeys(CT_RATE_LABELS, 0), "Cardiomegaly": 1}]
    rows = [
        {"VolumeName": "valid_1_a_1", **dict.fromkeys(CT_RATE_LABELS, 0.4999), "Cardiomegaly": 0.5}
    ]
    found = score("vlm3d", rows, labels)
    assert found.metrics["crg"] == 1.0
    assert found.metrics["macro/f1"] == pytest.approx(1 / 18)
    assert "macro/auroc" not in found.metrics


def submission() -> list[dict[str, Any]]:
    return [
        {
            "input_image_name": row["VolumeName"],
            "probabilities": {k: row[k] for k in CT_RATE_LABELS},
        }
        for row in PREDICTIONS
    ]


@pytest.mark.parametrize("shape", ["envelope", "bare", "scores", "list", "columns"])
def test_every_shape_of_a_submission_gives_the_same_score(tmp_path: Path, shape: str) -> None:
    rows: Any = submission()
    if shape == "envelope":
        rows = [{"outputs": [{"value": {"name": "x", "predictions": rows}}]}]
    if shape == "scores":
        rows = [
            {"input_image_name": r["input_image_name"], "scores": r["probabilities"]} for r in rows
        ]
    if shape == "list":
        rows = [
            {"image": f"valid/{r['input_image_name']}", "scores": list(r["probabilities"].values())}
            for r in rows
        ]
    if shape == "columns":
        rows = [{"AccessionNo": r["input_image_name"][:-7], **r["probabilities"]} for r in rows]
    path = tmp_path / "submission.json"
    path.write_text(json.dumps(rows))
    assert score("vlm3d", path).metrics == score("vlm3d").metrics


def test_labels_are_read_from_the_released_table(tmp_path: Path) -> None:
    path = tmp_path / "valid_predicted_labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["VolumeName", *CT_RATE_LABELS])
        writer.writeheader()
        writer.writerows(LABELS[::-1])
    found = score("ct-clip", labels=path)
    assert found.metrics == pytest.approx(score("ct-clip").metrics)


def test_a_label_that_a_submission_leaves_out_scores_0_for_vlm3d_only() -> None:
    rows = submission()
    for row in rows:
        del row["probabilities"]["Emphysema"]
    assert score("vlm3d", rows).metrics["class/Emphysema/recall"] == 0
    with pytest.raises(InputError, match="no prediction is usable"):
        score("ct-clip", rows, missing="wrong")


def test_longllava_takes_the_first_volume_of_each_patient() -> None:
    found = score("longllava")
    scores, truth = matrices(lambda name: name.endswith("_a_1.nii.gz"))
    assert len(found.rows) == len(truth) == 40
    called = scores >= 0.5
    assert found.metrics["micro/recall"] == pytest.approx((called & truth).sum() / truth.sum())
    assert found.metrics["accuracy"] == pytest.approx((called == truth).mean())
    assert any("40 patients" in note for note in found.notes)


def test_answers_in_words_are_scores_of_1_and_0() -> None:
    words = [
        {
            k: (v if k == "VolumeName" else ("Yes, there is." if v >= 0.5 else "no"))
            for k, v in row.items()
        }
        for row in PREDICTIONS
    ]
    micro = score("longllava", words).metrics
    assert micro["micro/f1"] == score("longllava").metrics["micro/f1"]


@pytest.mark.parametrize("unit", ["scan", "patient"])
@pytest.mark.parametrize("reconstruction", ["first", "last", "mean", "max"])
def test_units_and_reconstructions_are_the_users_choice(unit: str, reconstruction: str) -> None:
    found = score("vlm3d", unit=unit, reconstruction=reconstruction)
    scans = {row["VolumeName"].rsplit("_", 1)[0] for row in LABELS}
    assert len(found.rows) == (40 if unit == "patient" else len(scans))
    assert found.settings["unit"] == unit
    assert found.cluster == "patient"


def test_a_rule_is_fitted_on_other_patients_only() -> None:
    with pytest.raises(PolicyError) as caught:
        score("fitted")
    assert caught.value.code == "ct_rate.fit"
    with pytest.raises(InputError) as leak:
        score("fitted", fit_predictions=PREDICTIONS[:9], fit_references=LABELS[:9])
    assert leak.value.code == "ct_rate.leak"
    other, labels = ct_rate_predictions.make(30, seed=1, split="train")
    found = score("fitted", threshold="f1", fit_predictions=other, fit_references=labels)
    assert found.settings["thresholds"]["Emphysema"] < 1
    assert found.settings["threshold"] == "f1"
    fixed = score("fitted", threshold=0.3, unit="volume")
    scores, truth = matrices()
    assert fixed.metrics["accuracy"] == pytest.approx(((scores > 0.3) == truth).mean())


def test_missing_volumes_follow_the_policy() -> None:
    with pytest.raises(PolicyError):
        score("vlm3d", PREDICTIONS[5:])
    dropped = score("vlm3d", PREDICTIONS[5:], missing="drop")
    wrong = score("vlm3d", PREDICTIONS[5:], missing="wrong")
    assert dropped.counts.unscored == wrong.counts.missing == 5
    assert wrong.metrics["accuracy"] < dropped.metrics["accuracy"]


def test_a_label_without_positives_has_no_area_and_is_named() -> None:
    labels = [{**row, "Emphysema": 0} for row in LABELS]
    found = score("ct-clip", labels=labels)
    assert "class/Emphysema/auroc" not in found.metrics
    assert found.settings["thresholds"]["Emphysema"] is None
    assert any("Emphysema" in note for note in found.notes)


@pytest.mark.parametrize(
    ("predictions", "labels", "code"),
    [
        ([{**PREDICTIONS[0], "Emphysema": 1.2}], LABELS[:1], "ct_rate.score"),
        (PREDICTIONS[:1], [{**LABELS[0], "Emphysema": -1}], "ct_rate.truth"),
        (PREDICTIONS[:1], [{"VolumeName": "valid_1_a_1"}], "ct_rate.no_labels"),
    ],
)
def test_what_is_no_probability_or_label_is_refused(predictions, labels, code: str) -> None:
    with pytest.raises(InputError) as caught:
        score("vlm3d", predictions, labels)
    assert caught.value.code == code


def test_foreign_names_cannot_be_joined_to_patients() -> None:
    rows = [{**PREDICTIONS[0], "VolumeName": "Doe_Jane"}]
    labels = [{**LABELS[0], "VolumeName": "Doe_Jane"}]
    with pytest.raises(InputError) as caught:
        score("longllava", rows, labels)
    assert caught.value.code == "ct_rate.name"
    assert "Doe" not in str(caught.value)
    assert score("longllava", rows, labels, unit="volume").cluster is None


def test_rows_that_hold_scores_and_labels_need_no_second_file() -> None:
    rows = [
        {"VolumeName": p["VolumeName"], "probabilities": p, "labels": t}
        for p, t in zip(PREDICTIONS, LABELS, strict=True)
    ]
    assert score("vlm3d", rows, None).metrics == score("vlm3d").metrics


@needs_golden
def test_the_labels_stand_in_the_order_of_the_release() -> None:
    assert list(CT_RATE_LABELS) == golden("ct_rate")["labels_in_order"]
