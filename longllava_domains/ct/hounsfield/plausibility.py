"""Could these values be the Hounsfield units that a header says they are?

A header that states a slope and an intercept can still be wrong: an intercept applied twice or
lost, a slope that belongs to another export, a map of a material. Outside padding, the lowest
crowd of a CT is the air around the patient, at -1000 HU, or lung; without air in view it is fat
(about -100) or soft tissue (about 0 to 80). A scale that moves the first crowd away from there, or
leaves no soft tissue behind it, is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.hounsfield.evidence import HuEvidence, assess_hu, histogram
from longllava_domains.errors import IntensityError

AIR_HU: Final = -1000.0
# Air this far off its place is reported, and farther it is refused.
AIR_NOTED_HU: Final = 30.0
AIR_REFUSED_HU: Final = 200.0
# A crowd is this share of the volume within this width.
_CROWD_WIDTH_HU: Final = 101
_CROWD_SHARE: Final = 0.02
# Beside air, soft tissue outweighs both the valley towards lung and the bone above.
_SOFT_HU: Final = (-150, 300)
_VALLEY_HU: Final = (-650, -250)
_BONE_HU: Final = (450, 2000)
_OUTWEIGHS: Final = 0.5
_ONLY_AIR_SHARE: Final = 0.01
# Without air or fat, only this much of nothing but soft tissue is let through.
_TISSUE_PEAK_HU: Final = (15, 130)
_TISSUE_SHARE: Final = 0.8
_ABOVE_HU: Final = 600
_ABOVE_SHARE: Final = 0.03
# Less than this is no scan to judge by: a few small slices, or drawn without any noise.
_FEW_VOXELS: Final = 16_000
_FEW_VALUES: Final = 16
# The second test; whole volumes off by 1024 HU pass it, and so do those of half a slope.
_ENVELOPE_HU: Final = (-1100, 600)
_ENVELOPE_SHARE: Final = 0.5
_BELOW_HU: Final = -1500
_METAL_HU: Final = 3100
_BEYOND_SHARE: Final = 0.02
# Slips of exporters: an offset that was applied twice or lost, a slope of another export.
_OFFSETS_HU: Final = (-1024, 1024, -1000, 1000, -8192, 8192, -3072, 3072, -32768)
_FACTORS: Final = (2.0, 0.5, 10.0, 0.1)


@dataclass(frozen=True)
class Plausibility:
    """Evidence of values for or against a unit that a header vouches for.

    Attributes:
        code: ``"air"`` (air or lung, and soft tissue, where Hounsfield units put them),
            ``"no_air"`` (no air in view; fat and soft tissue at their places), ``"unprovable"``
            (nothing speaks for or against it) or ``"implausible"``.
        air_off_hu: How far the lowest crowd lies from -1000 HU; 0 where no air is in view.
        numbers: What was found; ``air_hu`` is the lowest crowd, ``offset_hu`` or ``factor`` the
            known slip that explains the values.
    """

    code: Literal["air", "no_air", "unprovable", "implausible"]
    air_off_hu: float = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", MappingProxyType(dict(self.numbers)))


def judge(values: NDArray[Any], intercept: float) -> Plausibility:
    """Judge values that a header says are Hounsfield units.

    Args:
        values: Any shape, as the header's rescale gives them.
        intercept: The header's; a wrong slope turns about it.
    """
    evidence = assess_hu(values)
    counts = histogram(values)
    if evidence.padding_below_hu is not None:
        counts[: evidence.padding_below_hu + 32768] = 0
    numbers = {"air_hu": _lowest_crowd(counts)} if counts.any() else {}
    off = abs(numbers.get("air_hu", AIR_HU) - AIR_HU)
    is_air = off <= AIR_REFUSED_HU
    in_tissue = _SOFT_HU[0] <= numbers.get("air_hu", AIR_HU) <= _TISSUE_PEAK_HU[1]
    if evidence.proved and _in_envelope(counts) and (is_air or in_tissue):
        found = _beside_air(counts, off if is_air else 0.0, numbers)
        if found.code != "implausible":
            return found
    slip = _slip(values, intercept, evidence)
    if slip or not counts.any():
        return Plausibility("implausible", off, {**numbers, **slip})
    if _share(counts, -32768, _BELOW_HU) > _ENVELOPE_SHARE:  # nothing is emptier than air
        return Plausibility("implausible", off, numbers)
    if counts.sum() < _FEW_VOXELS or np.count_nonzero(counts) < _FEW_VALUES:
        return Plausibility("unprovable", 0.0, numbers)
    if not _in_envelope(counts):
        return Plausibility("implausible", off, numbers)
    if is_air:
        return _beside_air(counts, off, numbers)
    if evidence.verdict == "tissue":
        return Plausibility("no_air", 0.0, numbers)
    is_tissue = _TISSUE_PEAK_HU[0] <= numbers["air_hu"] <= _TISSUE_PEAK_HU[1]
    alone = _share(counts, *_SOFT_HU) >= _TISSUE_SHARE
    if is_tissue and alone and _share(counts, _ABOVE_HU, 32767) <= _ABOVE_SHARE:
        return Plausibility("unprovable", 0.0, numbers)
    return Plausibility("implausible", off, numbers)


def _beside_air(
    counts: NDArray[np.int64], off: float, numbers: Mapping[str, float]
) -> Plausibility:
    """Judge by what lies above the air: soft tissue, nothing at all, or what should not be."""
    if _share(counts, int(numbers["air_hu"]) + 250, 32767) < _ONLY_AIR_SHARE:
        return Plausibility("unprovable", off, numbers)
    soft, valley, bone = (_densest(counts, *band) for band in (_SOFT_HU, _VALLEY_HU, _BONE_HU))
    sound = soft > 0 and soft >= _OUTWEIGHS * max(valley, bone)
    return Plausibility("air" if sound else "implausible", off, numbers)


def _slip(values: NDArray[Any], intercept: float, evidence: HuEvidence) -> dict[str, float]:
    """Return the known slip without which the values are Hounsfield units, or nothing.

    Values that could be Hounsfield units as they are need proof of the slip; others, only that
    they could be without it.
    """
    wide = values.astype(np.float64)
    without = [({"offset_hu": float(offset)}, wide - offset) for offset in _OFFSETS_HU]
    for factor in _FACTORS:
        # The slope alone, or slope and intercept together.
        without.append(({"factor": factor}, (wide - intercept) / factor + intercept))
        without.append(({"factor": factor}, wide / factor))
    judged = [(slip, assess_hu(candidate)) for slip, candidate in without]
    proved = [slip for slip, found in judged if found.proved]
    plausible = [slip for slip, found in judged if found.plausible and not evidence.plausible]
    return next(iter([*proved, *plausible]), {})


def refuse_implausible(found: Plausibility, remedy: str) -> IntensityError:
    """Return the error that says why a header's unit is not believed."""
    numbers = found.numbers
    if "offset_hu" in numbers:
        offset = numbers["offset_hu"]
        what = f"puts air at {offset - 1000:g} HU instead of -1000"
        remedy = f"Pass hu=(slope, intercept) with an intercept lower by {offset:g}, {remedy}"
    elif "factor" in numbers:
        what = f"stretches the values by {numbers['factor']:g}"
        remedy = (
            f"Pass hu=(slope, intercept) with a slope divided by {numbers['factor']:g}, {remedy}"
        )
    elif "air_hu" in numbers:
        what = (
            f"puts the lowest crowd of values at {numbers['air_hu']:g} HU, and leaves no soft "
            "tissue where it belongs"
        )
        remedy = f"Pass hu=(slope, intercept), {remedy}"
    else:
        what, remedy = "leaves nothing but padding", f"Pass hu=(slope, intercept), {remedy}"
    return IntensityError(
        f"The header's rescale {what}: these are no plausible Hounsfield units.",
        remedy=remedy,
        code="hu.implausible",
        facts=dict(numbers),
    )


def _lowest_crowd(counts: NDArray[np.int64]) -> float:
    """Return the middle of the lowest crowd of values; of all values where there is none."""
    around = np.convolve(counts, np.ones(_CROWD_WIDTH_HU), "same") / counts.sum()
    crowded = np.flatnonzero(around >= _CROWD_SHARE)
    if not len(crowded):
        return float(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) - 32768
    first = int(crowded[0])
    reach = slice(first, first + _CROWD_WIDTH_HU)
    top = first + int(around[reach].argmax())
    low = max(0, top - _CROWD_WIDTH_HU // 2)
    narrow = np.convolve(counts[low : top + _CROWD_WIDTH_HU // 2 + 1], np.ones(9), "same")
    return float(low + int(narrow.argmax())) - 32768


def _densest(counts: NDArray[np.int64], low: int, high: int) -> float:
    """Return the fullest 41 HU of a band."""
    band = counts[low + 32768 : high + 32769]
    return float(np.convolve(band, np.ones(41), "valid").max())


def _share(counts: NDArray[np.int64], low: int, high: int) -> float:
    start, end = max(0, low + 32768), min(65536, high + 32769)
    return float(counts[start:end].sum() / counts.sum())


def _in_envelope(counts: NDArray[np.int64]) -> bool:
    inside = _share(counts, *_ENVELOPE_HU)
    beyond = max(_share(counts, -32768, _BELOW_HU), _share(counts, _METAL_HU, 32767))
    return inside >= _ENVELOPE_SHARE and beyond <= _BEYOND_SHARE
