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
_COARSE_PX = 192
_OTHER_REGIONS = ("HEAD", "BRAIN", "SKULL", "KNEE", "ANKLE", "PELVIS", "FOOT", "HAND")
_CHEST_REGIONS = ("CHEST", "THORAX", "LUNG", "HEART", "WHOLEBODY")


@dataclass(frozen=True)
class ChestEvidence:
    """Evidence for a chest.

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
    names_chest = any(name in region for name in _CHEST_REGIONS)  # "CHEST ABDOMEN PELVIS"
    if not names_chest and any(other in region for other in _OTHER_REGIONS):
        return ChestEvidence(False, "chest.header_other_region", lung_share)
    if lung_share < CHEST_SHARE:
        return ChestEvidence(False, "chest.no_lung", lung_share)
    return ChestEvidence(True, "", lung_share)


def _lung_fraction(plane: NDArray[np.int16]) -> float:
    """Return the share of lung in the body of one slice.

    Air that reaches the edge of the picture lies outside the body: beside it, between arm and
    trunk, or between the back and the table.
    """
    step = max(1, min(plane.shape) // _COARSE_PX)
    rows, columns = (size // step * step for size in plane.shape)
    plane = plane[:rows, :columns]
    # A coarse picture is enough to tell inside from outside, and closes gaps in a thin wall.
    blocks = plane.reshape(rows // step, step, columns // step, step)
    body = blocks.max(axis=(1, 3)) > BODY_ABOVE_HU
    outside = _spread(_edge(body.shape) & ~body, ~body)
    inside = ~outside.repeat(step, axis=0).repeat(step, axis=1)
    low, high = LUNG_RANGE_HU
    lung = inside & (plane > low) & (plane < high)
    return float(lung.sum()) / float(inside.sum()) if inside.any() else 0.0


def _edge(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    edge = np.ones(shape, np.bool_)
    edge[1:-1, 1:-1] = False
    return edge


def _spread(seed: NDArray[np.bool_], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow the seed along rows and columns through what is free, until nothing changes."""
    reached = seed
    while True:
        grown = reached
        for axis in (0, 1):
            for backwards in (False, True):
                grown = _sweep(grown, free, axis, backwards=backwards)
        if np.array_equal(grown, reached):
            return reached
        reached = grown


def _sweep(
    seed: NDArray[np.bool_], free: NDArray[np.bool_], axis: int, *, backwards: bool
) -> NDArray[np.bool_]:
    """Carry the seed along one direction up to the next wall."""
    if backwards:
        return np.flip(
            _sweep(np.flip(seed, axis), np.flip(free, axis), axis, backwards=False), axis
        )
    position = np.arange(free.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    last_wall = np.maximum.accumulate(np.where(free, -1, position), axis=axis)
    last_seed = np.maximum.accumulate(np.where(seed, position, -1), axis=axis)
    carried: NDArray[np.bool_] = (last_seed > last_wall) & free
    return carried
