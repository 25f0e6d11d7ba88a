"""The page of a result: notes first, plots where scores are known, everything escaped."""

from pathlib import Path

import ct_rate_predictions
import numpy as np
import pytest

from longllava_domains import evaluate
from longllava_domains.evaluate.card import calibration_curve, html_card, save_card

PREDICTIONS, LABELS = ct_rate_predictions.make(30)


def ct_rate() -> evaluate.Result:
    return evaluate.score("ct-rate", PREDICTIONS, LABELS, protocol="ct-clip", synthetic=True)


def test_scores_with_probabilities_are_plotted(tmp_path: Path) -> None:
    result = evaluate.with_intervals(ct_rate(), draws=50)
    save_card(result, tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text()
    assert text.count("<svg") == 3
    assert "SYNTHETIC ct-rate" in text
    assert "ROC of each class" in text
    assert "95% interval" in text
    assert "thresholds were fitted on the evaluated set itself" in text


def test_answers_are_shown_with_their_reasons_and_escaped() -> None:
    references = [
        {"qid": k, "image_name": "a", "question": "?", "answer": "yes", "answer_type": "CLOSED"}
        for k in range(3)
    ]
    answers = [{"qid": k, "text": "<b>no</b>"} for k in range(3)]
    result = evaluate.score("vqa-rad", answers, references, protocol="strict")
    beside = evaluate.baselines("vqa-rad", references, protocol="strict")
    text = html_card(evaluate.stand_beside(result, beside))
    assert "<b>" not in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert "always yes" in text
    assert "no blind run" in text
    assert "<svg" not in text


def test_calibration_is_the_share_of_positives_in_each_bin() -> None:
    scores = np.array([0.05, 0.06, 0.95, 1.0])
    found = calibration_curve(np.array([False, True, True, True]), scores)
    assert found.x == pytest.approx([0.055, 0.975])
    assert found.y == pytest.approx([0.5, 1.0])
