"""Occlusion: how a finding's margin changes when slices are left out. Costs a look per part."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from longllava_domains.arguments import checked
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.units import did_you_mean
from longllava_domains.vision_language import VisionLanguageModel
from longllava_domains.visual import SlicePlace, VisualSequence


@dataclass(frozen=True)
class OcclusionEvidence:
    """The effect on a finding if one part of the scan is left out.

    Attributes:
        z_mm: Lowest and highest slice left out.
        slices: How many.
        margin_drop: Margin with everything shown minus margin without the part; positive where
            the part speaks for the finding.
    """

    z_mm: tuple[float, float]
    slices: int
    margin_drop: float


@checked
def occlusion_evidence(
    model: VisionLanguageModel,
    sequence: VisualSequence,
    label: str,
    preset: CTPreset,
    *,
    parts: int = 8,
) -> tuple[OcclusionEvidence, ...]:
    """Leave out one part of the scan after the other and score the finding again.

    Args:
        model: A loaded model.
        sequence: The views of a CT.
        label: One of the 18 CT-RATE labels.
        preset: Question and choices.
        parts: Into how many runs of neighbouring slices the scan is cut, 2 or more.

    Returns:
        One entry a part, from head to feet.

    Raises:
        PolicyError: No such label, fewer slices than parts, or fewer than two parts.
    """
    _require_label(label)
    indices = sorted({view.place.index for view in sequence if isinstance(view.place, SlicePlace)})
    if not 2 <= parts <= len(indices):
        raise PolicyError(
            f"{len(indices)} slices cannot be left out in {parts} parts.",
            remedy="Choose 2 parts or more, and no more than there are slices."
            if len(indices) > 1
            else "Show two slices or more: a smaller spacing_mm in the policy shows more.",
            code="evidence.parts",
        )
    question = preset.finding_prompt.format(label=label.lower())
    whole = _margin(model, sequence, question, preset)
    return tuple(
        OcclusionEvidence(
            *_extent(sequence, left_out), whole - _margin(model, rest, question, preset)
        )
        for left_out, rest in _without_each(sequence, indices, parts)
    )


def _require_label(label: str) -> None:
    """Refuse a finding that the model is not asked for: its margin would mean nothing.

    Raises:
        PolicyError: It is none of the 18.
    """
    if label not in CT_RATE_LABELS:
        raise PolicyError(
            "There is no finding of that name.",
            remedy=f"{did_you_mean(label, CT_RATE_LABELS)}The findings: {', '.join(CT_RATE_LABELS)}.",
            code="report.finding",
        )


def _without_each(
    sequence: VisualSequence, indices: list[int], parts: int
) -> Iterator[tuple[set[int], VisualSequence]]:
    cuts = [round(part * len(indices) / parts) for part in range(parts + 1)]
    for start, end in itertools.pairwise(cuts):
        left_out = set(indices[start:end])
        kept = tuple(
            view
            for view in sequence
            if not (isinstance(view.place, SlicePlace) and view.place.index in left_out)
        )
        yield left_out, VisualSequence(kept, sequence.layout, provenance=sequence.provenance)


def _extent(sequence: VisualSequence, left_out: set[int]) -> tuple[tuple[float, float], int]:
    heights = [
        view.place.z_mm
        for view in sequence
        if isinstance(view.place, SlicePlace) and view.place.index in left_out
    ]
    return (min(heights), max(heights)), len(left_out)


def _margin(
    model: VisionLanguageModel, sequence: VisualSequence, question: str, preset: CTPreset
) -> float:
    with model.open(sequence) as session:
        yes, no = session.score(question, preset.finding_choices)
    return yes.sum_logprob - no.sum_logprob
