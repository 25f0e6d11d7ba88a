"""Whatever stands in the rows, a score or an error of ours comes out, and nothing else."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longllava_domains import evaluate
from longllava_domains.errors import LongLlavaError

NAMES = (
    "qid", "id", "question_id", "question", "answer", "answer_type", "options", "text", "label",
    "conversations", "image_name", "image", "dataset", "answer_label", "VolumeName", "Emphysema",
    "Cardiomegaly", "probabilities", "labels", "scores", "outputs", "report", "Findings_EN",
    "question_rephrase", "phrase_type", "metric_type", "A", "B", "sent", "ground_truth",
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(["", "yes", "No.", "A", "1", "valid_1_a_1", "CLOSED", "['x', 'y']", "[", "Z" * 400])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
ROWS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), max_size=4)


@pytest.mark.parametrize(
    ("benchmark_name", "protocol"),
    [(name, protocol) for name, each in evaluate.PROTOCOLS.items() for protocol in each
     if name != "path-vqa"],
)  # fmt: skip
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_rows_of_any_kind_end_in_a_score_or_in_an_error_of_ours(
    benchmark_name: str, protocol: str, data: Any
) -> None:
    predictions = data.draw(ROWS)
    references = data.draw(st.none() | ROWS | st.just(predictions))
    missing = data.draw(st.sampled_from([None, "wrong", "drop"]))
    found = None
    with suppress(LongLlavaError):
        found = evaluate.score(
            benchmark_name, predictions, references, protocol=protocol, missing=missing
        )
    if found is not None:
        assert found.metrics
        assert found.counts.scored + found.counts.unscored == found.counts.references
