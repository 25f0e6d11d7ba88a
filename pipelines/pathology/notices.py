"""Notices of every answer about a slide, and the record of how fields were seen closer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from longllava_domains.answer import Answer
from longllava_domains.pathology import ZoomPolicy
from longllava_domains.pathology.regions import CUT_NOTICE, Region
from longllava_domains.pipelines.evidence_notice import NO_EVIDENCE
from longllava_domains.pipelines.pathology.zoom import ClosestLook

_NO_TRAINING: Final = "The model's card names no training on pathology slides."


def untrained_notices(model: object) -> tuple[str, ...]:
    """Return what is said of a model whose card names no training on slides."""
    return no_training(getattr(model, "provenance", {}))


def no_training(made: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the same of a model's provenance, or of its answer's."""
    known = made.get("trained_domains") or ()
    return () if "pathology" in known else (_NO_TRAINING, NO_EVIDENCE)


def told(model: object, look: ClosestLook, zoom: ZoomPolicy | None = None) -> Answer:
    """Return the answer with what a reader must know, and how fields were seen closer."""
    made = look.answer.provenance
    notices = [*made.get("notices", ()), *untrained_notices(model)]
    if zoom is not None and any(isinstance(at, Region) and at.cut for at in zoom.at):
        notices.append(CUT_NOTICE)
    facts: dict[str, Any] = {"notices": list(dict.fromkeys(notices))}
    if zoom is not None:
        closer = [
            {"chosen_by": each.chosen_by, "fields": each.fields, "views": each.views}
            for each in look.rounds
        ]
        policy = {**(made.get("policy") or {}), "zoom": zoom.to_json(), "closer": closer}
        facts |= {"policy": policy, "layout": "mixed"}
    return replace(look.answer, provenance=made.with_(**facts))
