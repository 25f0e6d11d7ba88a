"""One file under every protocol, and the rows on which they differ."""

import ct_rate_predictions
import pytest

from longllava_domains import evaluate
from longllava_domains.errors import LongLlavaError, PolicyError

REFERENCES = [
    {"qid": 1, "question": "?", "answer": "yes", "answer_type": "CLOSED"},
    {"qid": 2, "question": "?", "answer": "no", "answer_type": "CLOSED"},
]


def test_rows_on_which_all_agree_are_left_out() -> None:
    answers = iter([{"qid": 1, "text": "yes"}, {"qid": 2, "text": "unknown"}])
    found = evaluate.explain("vqa-rad", answers, iter(REFERENCES))
    assert set(found.results) == set(evaluate.PROTOCOLS["vqa-rad"])
    (row,) = found.rows
    assert row.id == "2"
    assert row.verdicts["llava-med"].score == 1
    assert row.verdicts["first-yes-no"].score == 0
    assert "8 protocols" in found.note


def test_a_protocol_that_cannot_score_the_file_is_named_with_the_reason() -> None:
    predictions, labels = ct_rate_predictions.make(5)
    found = evaluate.explain("ct-rate", predictions, labels)
    assert set(found.results) == {"ct-clip", "vlm3d", "longllava"}
    assert "split to fit" in found.skipped["fitted"]
    fitted = evaluate.explain("ct-rate", predictions, labels, threshold=0.4)
    assert fitted.skipped == {}


def test_a_file_that_no_protocol_can_score_is_refused() -> None:
    with pytest.raises(LongLlavaError):
        evaluate.explain("vqa-rad", [], REFERENCES)
    with pytest.raises(PolicyError):
        evaluate.explain("other", [], REFERENCES)


def test_a_protocol_that_only_asks_otherwise_gives_no_number_of_its_own() -> None:
    texts = [{"VolumeName": f"valid_{k}_a_1", "report": f"Nodule {k}."} for k in range(3)]
    written = [{"VolumeName": f"valid_{k}_a_1", "Findings_EN": f"Nodule {k}."} for k in range(3)]
    found = evaluate.explain("ct-rate/reports", texts, written)
    assert list(found.results) == ["vlm3d"]
    assert list(found.skipped) == ["findings-first"]
