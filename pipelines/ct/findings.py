"""The 18 CT-RATE findings, all from one look at the scan."""

from collections.abc import Iterator

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.result import Abnormality
from longllava_domains.vision_language import VisionSession
from longllava_domains.visual import SlicePlace, VisualSequence

# Slices named for a finding: what a reader can look through.
ATTENTION_SLICES = 5


def score_findings(
    session: VisionSession, preset: CTPreset, calibration: Calibration | None = None
) -> Iterator[Abnormality]:
    """Ask about each finding, continuing each time from the same seen views.

    Args:
        session: Views already seen; its conversation stays as it is.
        preset: Question and choices, the affirmative one first.
        calibration: Turns margins into probabilities.

    Yields:
        The findings in the order of the CT-RATE label files.
    """
    assert session.sequence is not None
    for label in CT_RATE_LABELS:
        readout = session.new_readout()
        question = preset.finding_prompt.format(label=label.lower())
        yes, no = session.score(question, preset.finding_choices, readout=readout)
        margin = yes.sum_logprob - no.sum_logprob
        probability = None if calibration is None else calibration.probability(label, margin)
        yield Abnormality(
            label=label,
            yes_logit_margin=margin,
            probability=probability,
            present=None if calibration is None else calibration.present(label, probability),
            attended_slices=most_attended(session.sequence, readout.per_view),
        )


def most_attended(
    sequence: VisualSequence, per_view: tuple[float, ...], count: int = ATTENTION_SLICES
) -> tuple[SlicePlace, ...]:
    """Return the slices with the most attention, a slice in several windows counted once.

    Where the model looked, not why it answered so: see `ct_evidence` for occlusion.
    """
    by_index: dict[int, float] = {}
    places: dict[int, SlicePlace] = {}
    for view, mass in zip(sequence, per_view, strict=True):
        if isinstance(view.place, SlicePlace):
            index = view.place.index
            by_index[index] = by_index.get(index, 0.0) + mass
            places.setdefault(index, view.place)
    ranked = sorted(by_index, key=lambda index: (-by_index[index], index))
    return tuple(places[index] for index in ranked[:count])
