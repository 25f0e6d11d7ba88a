"""The 18 CT-RATE findings, all from one look at the scan."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.ct.result import Abnormality
from longllava_domains.vision_language import ChoiceScore, Readout, VisionSession
from longllava_domains.visual import SlicePlace, VisualSequence

if TYPE_CHECKING:
    from longllava_domains.model import Session

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
    for label in CT_RATE_LABELS:
        readout = session.new_readout()
        question = preset.finding_prompt.format(label=label.lower())
        scores = session.score(question, preset.finding_choices, readout=readout)
        yield _abnormality(label, scores, session.sequence, readout, calibration)


def score_findings_together(
    sessions: Sequence["Session"], preset: CTPreset, calibration: Calibration | None = None
) -> Iterator[list[Abnormality]]:
    """Ask several sessions about each finding, all of them at once.

    Args:
        sessions: Of one model; as for `score_findings`.
        preset: As for `score_findings`.
        calibration: As for `score_findings`.

    Yields:
        For each label in the order of the CT-RATE label files, the finding of each session.
    """
    from longllava_domains.model import score_many

    for label in CT_RATE_LABELS:
        readouts = [session.new_readout() for session in sessions]
        question = preset.finding_prompt.format(label=label.lower())
        asks = [(session, question) for session in sessions]
        scored = score_many(asks, preset.finding_choices, readouts=readouts)
        yield [
            _abnormality(label, scores, session.sequence, readout, calibration)
            for session, scores, readout in zip(sessions, scored, readouts, strict=True)
        ]


def _abnormality(
    label: str,
    scores: Sequence[ChoiceScore],
    sequence: VisualSequence | None,
    readout: Readout,
    calibration: Calibration | None,
) -> Abnormality:
    assert sequence is not None
    yes, no = scores
    margin = yes.sum_logprob - no.sum_logprob
    probability = None if calibration is None else calibration.probability(label, margin)
    return Abnormality(
        label=label,
        yes_logit_margin=margin,
        probability=probability,
        present=None if calibration is None else calibration.present(label, probability),
        attended_slices=most_attended(sequence, readout.per_view),
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
