"""A model that really looks: it names the colour of a disc that it sees, and guesses otherwise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from other_family import OtherModel, OtherSession

from longllava_domains.pipelines.measures.pictures import COLOURS
from longllava_domains.vision_language import ChoiceScore, ViewFormat
from longllava_domains.visual import VisualSequence


def discs(pixels: Any) -> set[str]:
    """Name the colours of the discs in a picture: haystacks are grey."""
    found = set()
    for name, colour in COLOURS.items():
        near = np.abs(pixels.astype(int) - colour).max(axis=2) < 20
        if near.mean() > 0.002:
            found.add(name)
    return found


class SeeingSession(OtherSession):
    """Chooses the colour that it sees in the first `far` views; guesses the first choice otherwise."""

    def score(self, question: str, choices: Sequence[str], **how: Any) -> tuple[ChoiceScore, ...]:
        self.model.scored += 1
        seen = set().union(*(discs(v.pixels) for v in list(self.sequence or ())[: self.model.far]))
        said = next((choice for choice in choices if choice in seen), choices[0])
        return tuple(ChoiceScore(each, (0.0 if each == said else -1.0,)) for each in choices)


class SeeingModel(OtherModel):
    view_format = ViewFormat(view_px=64, tokens_per_view=16, trained_tokens=0)

    def __init__(self, far: int = 10_000) -> None:
        self.far, self.scored = far, 0

    def open(self, sequence: VisualSequence | None, **how: Any) -> SeeingSession:
        return SeeingSession(self, sequence)
