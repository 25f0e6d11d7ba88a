"""The notice that nothing is published: of every model and input but those with results."""

import pytest

from longllava_domains.answer import Answer
from longllava_domains.pipelines.evidence_notice import (
    NO_EVIDENCE,
    ON_PICTURES,
    no_evidence,
    with_notices,
)
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance


@pytest.mark.parametrize(
    ("made", "how", "is_said"),
    [
        ({"model": "demo"}, {"published": ON_PICTURES}, True),
        ({"model": ON_PICTURES[0]}, {"published": ON_PICTURES}, False),
        ({"model": ON_PICTURES[0]}, {"domain": "remote_sensing"}, True),
        ({"trained_domains": ["remote_sensing"]}, {"domain": "remote_sensing"}, False),
        ({"trained_domains": ["ct"]}, {"domain": "remote_sensing"}, True),
        ({"trained_domains": None}, {"domain": "remote_sensing"}, True),
        ({}, {}, True),
    ],
)
def test_a_published_model_or_a_card_that_names_the_domain_needs_no_notice(
    made: dict, how: dict, is_said: bool
) -> None:
    assert no_evidence(made, **how) == ((NO_EVIDENCE,) if is_said else ())


def test_a_notice_is_told_once_after_those_that_stood_there() -> None:
    answer = Answer("Yes.", provenance=Provenance(notices=[RESEARCH_NOTICE]))
    once = with_notices(answer, (NO_EVIDENCE,))
    assert with_notices(once, (NO_EVIDENCE,)).provenance["notices"] == [
        RESEARCH_NOTICE,
        NO_EVIDENCE,
    ]
    assert with_notices(answer, ()) is answer
