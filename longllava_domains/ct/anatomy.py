"""Is this a chest CT? Decided by the evidence of the volume, with the header as a witness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.volume import CTVolume

# Aerated lung lies between bowel gas or free air (about -1000) and fat (about -100).
LUNG_RANGE_HU = (-960, -600)
BODY_ABOVE_HU = -300
# A slice through the lungs is at least this much lung; sinuses and bowel stay far below.
LUNG_SLICE_FRACTION = 0.08
# A chest series shows lung in at least this share of its slices.
CHEST_SHARE = 0.3
_SAMPLED_SLICES = 24
_OTHER_REGIONS = ("HEAD", "BRAIN", "SKULL", "KNEE", "ANKLE", "PELVIS", "FOOT", "HAND")


@dataclass(frozen=True)
class ChestEvidence:
    """What speaks for a chest.

    Attributes:
        is_chest: The verdict.
        code: Why not: ``"chest.no_lung"``, ``"chest.header_other_region"``, or ``""``.
        lung_share: Share of the sampled slices that pass through lung, 0 to 1.
    """

    is_chest: bool
    code: str
    lung_share: float


def chest_evidence(volume: CTVolume) -> ChestEvidence:
    """Judge whether a volume shows a chest, from at most 24 of its slices.

    The header's body part can only veto: series are often sent as CHEST by habit, so lung
    must be seen, and a header that names another region is believed.
    """
    slices = volume.shape[0]
    chosen = np.unique(np.linspace(0, slices - 1, min(slices, _SAMPLED_SLICES)).round().astype(int))
    values = volume.source.read([int(index) for index in chosen])
    lung_share = float(np.mean([_lung_fraction(plane) >= LUNG_SLICE_FRACTION for plane in values]))
    region = str(volume.facts.get("body_part", "")).upper()
    if any(other in region for other in _OTHER_REGIONS):
        return ChestEvidence(False, "chest.header_other_region", lung_share)
    if lung_share < CHEST_SHARE:
        return ChestEvidence(False, "chest.no_lung", lung_share)
    return ChestEvidence(True, "", lung_share)


def _lung_fraction(plane: NDArray[np.int16]) -> float:
    """Return the share of lung among the pixels that have body on all four sides."""
    body = plane > BODY_ABOVE_HU
    enclosed = np.ones_like(body)
    for axis in (0, 1):
        enclosed &= np.maximum.accumulate(body, axis=axis)
        enclosed &= np.flip(np.maximum.accumulate(np.flip(body, axis), axis=axis), axis)
    inside = int(enclosed.sum())
    low, high = LUNG_RANGE_HU
    lung = enclosed & (plane > low) & (plane < high)
    return float(lung.sum()) / inside if inside else 0.0
