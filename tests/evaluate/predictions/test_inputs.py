"""Predictions made with other inputs than the protocol's are scored, named, and kept apart."""

from typing import Any

import pytest

from longllava_domains import evaluate
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.predictions.inputs import input_hash, input_notes

REFERENCES = [{"qid": k, "answer": "yes", "answer_type": "CLOSED"} for k in range(4)]


def score(decoding: object, views: object = "lung", **settings) -> Any:
    answers = [
        {"qid": k, "text": "yes", "inputs": {"decoding": input_hash(decoding), "views": input_hash(views)}}
        for k in range(4)
    ]  # fmt: skip
    return evaluate.score("vqa-rad", answers, REFERENCES, protocol="lmms-eval", **settings)


def test_other_decoding_than_the_protocols_is_named_and_stays_out_of_comparisons() -> None:
    as_asked, hotter = score({"temperature": 0}), score({"temperature": 1})
    assert not any(note.startswith("prompt mismatch") for note in as_asked.notes)
    assert "prompt mismatch: decoding (4 rows)" in hotter.notes
    assert hotter.metrics == as_asked.metrics
    with pytest.raises(PolicyError, match="decoding"):
        evaluate.compare({"a": as_asked, "b": hotter})
    assert evaluate.compare({"a": as_asked, "b": hotter}, force=True).notes


def test_the_user_may_fix_what_the_protocol_leaves_open() -> None:
    wanted = {"views": input_hash("mediastinum")}
    assert "prompt mismatch: views (4 rows)" in score({"temperature": 0}, inputs=wanted).notes
    assert not any("views" in note for note in score({"temperature": 1}).notes)


def test_one_file_is_made_in_one_way() -> None:
    rows = [{"inputs": {"system": "a", "question": str(k)}} for k in range(3)]
    assert input_notes(rows, {}) == ()
    rows[0]["inputs"]["system"] = "b"
    assert input_notes(rows, {}) == ("prompt mismatch: system (2 kinds in one file)",)
    assert input_notes([None, {}, {"inputs": 7}], {"system": "a"}) == ()


def test_a_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert input_hash({"a": 1, "b": 2}) == input_hash({"b": 2, "a": 1}) != input_hash({"a": 1})
