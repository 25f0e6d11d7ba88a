"""Notice of every answer about a kind of input on which nothing is published of the model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from longllava_domains.answer import Answer

NO_EVIDENCE: Final = "No published evidence for this model on this kind of image."
# Models with published results on flat pictures: VQA-RAD and PathVQA (LongLLaVA paper).
ON_PICTURES: Final = ("FreedomIntelligence/LongLLaVAMed-9B",)


def no_evidence(
    model: Mapping[str, Any], *, published: Collection[str] = (), domain: str = ""
) -> tuple[str, ...]:
    """Return the notice, or nothing where results are published or the card names the domain.

    Args:
        model: Provenance of a model, or of its answer.
        published: Models with published results.
        domain: Name as in ``trained_domains``; empty where a card does not count.
    """
    named = model.get("trained_domains") or ()
    return () if model.get("model") in published or domain in named else (NO_EVIDENCE,)


def with_notices(answer: Answer, notices: Sequence[str]) -> Answer:
    """Return an answer whose provenance holds more notices, each once."""
    if not notices:
        return answer
    told = dict.fromkeys((*answer.provenance.get("notices", ()), *notices))
    return replace(answer, provenance=answer.provenance.with_(notices=list(told)))
