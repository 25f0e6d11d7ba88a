"""Fields of a slide that the model looked at, at native resolution, beside fields chosen at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from longllava_domains.errors import PolicyError
from longllava_domains.pathology import Slide
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual import SlidePlace, View, VisualSequence
from longllava_domains.visual.contact_sheet import contact_sheet

# A field wider than this is shown coarser than the slide, and its caption says at which resolution.
_MOST_PX: Final = 1024
_CELL_PX: Final = 336


@dataclass(frozen=True, eq=False)
class FieldEvidence:
    """The fields that an answer looked at most, and as many others, at native resolution.

    It is where the model looked, not why it answered so: only the attention layers are seen, and
    attention is no proof. The random fields are there to be held against them.

    Attributes:
        looked_at: The fields with most attention, most first.
        attention: Share of the answer's attention on each of them, 0 to 1.
        random: Other fields, drawn with a fixed seed.
        random_attention: Share on each of those.
    """

    looked_at: tuple[View, ...]
    attention: tuple[float, ...]
    random: tuple[View, ...]
    random_attention: tuple[float, ...]

    def show(self) -> Image.Image:
        """Return one picture: the fields looked at in the first row, random ones in the second."""
        captions = [f"looked at {share:.3f}" for share in self.attention]
        captions += [f"random {share:.3f}" for share in self.random_attention]
        views = VisualSequence((*self.looked_at, *self.random))
        return contact_sheet(
            views, columns=len(self.looked_at), cell_px=_CELL_PX, captions=captions
        )

    def to_json(self) -> dict[str, Any]:
        """Return places in level-0 pixels with their shares, as JSON."""
        return {
            "notice": RESEARCH_NOTICE,
            "looked_at": _told(self.looked_at, self.attention),
            "random": _told(self.random, self.random_attention),
        }


def field_evidence(
    slide: Slide,
    sequence: VisualSequence,
    fields: Sequence[int],
    attention: Sequence[float],
    *,
    most: int = 6,
    seed: int = 0,
) -> FieldEvidence:
    """Read the fields that were looked at most, and random others, at native resolution.

    Args:
        slide: The slide of the sequence.
        sequence: What the model was shown.
        fields: Positions of the views that are fields, the global views left out.
        attention: Share of attention on each view of the sequence, 0 to 1.
        most: Fields of each kind.
        seed: Of the random fields.

    Raises:
        PolicyError: `most` is below 1, or attention was not read.
        InputError: The slide cannot be read.
    """
    if most < 1 or len(attention) != len(sequence):
        raise PolicyError(
            "There is no evidence to show: attention was not read, or no field was asked for.",
            remedy="Use an answer of a model that reads attention, and most=1 or more.",
            code="slide.evidence",
        )
    ranked = sorted(fields, key=lambda index: (-attention[index], index))
    top, rest = ranked[:most], ranked[most:]
    drawn = np.random.default_rng(seed).permutation(len(rest))[: len(top)]
    others = [rest[index] for index in drawn]
    return FieldEvidence(
        tuple(_native(slide, sequence[index].place) for index in top),
        tuple(attention[index] for index in top),
        tuple(_native(slide, sequence[index].place) for index in others),
        tuple(attention[index] for index in others),
    )


def _native(slide: Slide, place: object) -> View:
    assert isinstance(place, SlidePlace)
    mpp = slide.mpp * max(1.0, max(place.width, place.height) / _MOST_PX)
    pixels = slide.read(place.x, place.y, place.width, place.height, mpp=mpp, damaged="mark")
    pixels.flags.writeable = False
    level = slide.level_for(mpp)
    shown = SlidePlace(place.x, place.y, place.width, place.height, level, mpp)
    return View(pixels, shown)


def _told(views: Sequence[View], shares: Sequence[float]) -> list[dict[str, Any]]:
    return [
        view.place.to_json() | {"attention": share}
        for view, share in zip(views, shares, strict=True)
    ]
