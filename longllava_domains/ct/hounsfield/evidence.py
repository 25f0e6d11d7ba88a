"""Are these numbers Hounsfield units? Decided by where air and soft tissue lie.

Air is -1000 HU and soft tissue lies near 0 by the definition of the unit, so a CT in Hounsfield
units shows a crowd of voxels at each place and a thin valley between. Values stored with an
offset (CT-RATE v1: 1024, or 8192 for Siemens) move both crowds up; values rescaled twice move
both down. The rules here accept the first and refuse the others, with the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import IntensityError

Verdict = Literal["air", "tissue", "unproved"]

AIR_BAND_HU: Final = (-1075, -925)
TISSUE_BAND_HU: Final = (-150, 150)
# Nothing is emptier than air. Noise reaches below -1100, nothing real below -1500; a constant
# down there is what a scanner writes outside its field of view.
PADDING_BELOW_HU: Final = -1100
EMPTIEST_HU: Final = -1500
SAMPLE_VOXELS: Final = 1_000_000

# A constant outside the field of view may be off by a value or two (near-lossless compression),
# and there may be several; noise is wider than that.
_SPIKE_WIDTH_HU: Final = 17
_SPIKE_SHARE: Final = 0.9
_SPIKE_APART_HU: Final = 50
_MOST_SPIKES: Final = 3
# Resampling leaves values between a constant and the air beside it.
_BETWEEN_SHARE: Final = 0.15

_VALUES: Final = np.arange(-32768, 32768)


@dataclass(frozen=True)
class HuEvidence:
    """Evidence in a volume's values for their unit.

    Attributes:
        verdict: ``"air"`` (air and soft tissue where Hounsfield units put them), ``"tissue"``
            (no air in view; fat and soft tissue where they belong, which shrunken or shifted
            values can imitate) or ``"unproved"``.
        padding_hu: The constant outside the field of view, where there is one below air; the
            lowest of several.
        padding_below_hu: Values below this are padding; where constants differ by a little, or
            were resampled, they are many.
        numbers: ``min``, ``p01``, ``p50``, ``p99``, ``max`` of the values without padding,
            ``air_hu`` (their peak near -1000) and the shares of air, tissue and of what lies
            below air.
    """

    verdict: Verdict
    padding_hu: int | None = None
    padding_below_hu: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", MappingProxyType(dict(self.numbers)))

    @property
    def proved(self) -> bool:
        """True where the values are Hounsfield units by their own evidence."""
        return self.verdict == "air"

    @property
    def plausible(self) -> bool:
        """True where the values look right, enough to support what someone else vouches for."""
        return self.verdict != "unproved"


def sample(values: NDArray[Any]) -> NDArray[Any]:
    """Return at most about a million voxels of an array, spread evenly over it, flat."""
    flat = values.reshape(-1, order="A")
    # Odd, because rows of 512 or 1024 and an even step would meet some columns only.
    return flat[:: (flat.size // SAMPLE_VOXELS) | 1]


def assess_hu(values: NDArray[Any]) -> HuEvidence:
    """Judge whether values are Hounsfield units.

    Args:
        values: Any shape and number type, finite; large volumes are sampled.

    Returns:
        The evidence. Air within about 90 HU and 9 % of its place proves the unit.
    """
    counts = histogram(values)
    if not counts.any():
        return HuEvidence("unproved")
    padding, below = _padding(counts)
    if below is not None:
        counts[: below + 32768] = 0
    numbers = _numbers(counts)
    return HuEvidence(_verdict(counts, numbers), padding, below, numbers)


def histogram(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each value from -32768 to 32767 is met in a sample of the values."""
    taken = np.clip(np.rint(sample(values)), -32768, 32767).astype(np.int64)
    return np.bincount(taken.ravel() + 32768, minlength=65536)


def _padding(counts: NDArray[np.int64]) -> tuple[int | None, int | None]:
    """Return the lowest constant far below air, and the value below which all is padding.

    A constant is a spike: narrower than noise, and apart from all else. Beside up to three of
    them lies at most what resampling left, far below air.
    """
    low = counts[: PADDING_BELOW_HU + 32768].copy()
    mass, spikes, top = 0, [], -32768
    for _ in range(_MOST_SPIKES):
        spike = _spike(low, int(counts.sum()))
        if spike is None:
            break
        first, last = spike
        spikes.append(first + int(low[first:last].argmax()) - 32768)
        mass, top = mass + int(low[first:last].sum()), max(top, last - 32768)
        low[first:last] = 0
    between = int(low[: max(EMPTIEST_HU, top) + 32768].sum())
    if not spikes or between > _BETWEEN_SHARE * mass or mass == counts.sum():
        return None, None
    return min(spikes), max(EMPTIEST_HU, top) if min(spikes) < EMPTIEST_HU else top


def _spike(counts: NDArray[np.int64], total: int) -> tuple[int, int] | None:
    """Return where the densest few values start and end, None where they are no spike."""
    around = np.convolve(counts, np.ones(_SPIKE_WIDTH_HU, np.int64), "valid")
    first = int(around.argmax())
    last = first + _SPIKE_WIDTH_HU
    near = int(around[first])
    with_sides = int(counts[max(0, first - _SPIKE_APART_HU) : last + _SPIKE_APART_HU].sum())
    is_spike = near >= 0.001 * total and near >= _SPIKE_SHARE * with_sides
    return (first, last) if is_spike else None


def _numbers(counts: NDArray[np.int64]) -> dict[str, float]:
    total = int(counts.sum())
    if total == 0:
        return {}
    cumulative = np.cumsum(counts)

    def quantile(fraction: float) -> float:
        return float(_VALUES[np.searchsorted(cumulative, max(1, fraction * total))])

    near_air = counts[-1100 + 32768 : -900 + 32768]
    numbers = {name: quantile(q) for name, q in (("p01", 0.01), ("p50", 0.5), ("p99", 0.99))}
    occupied = np.flatnonzero(counts)
    numbers |= {"min": float(_VALUES[occupied[0]]), "max": float(_VALUES[occupied[-1]])}
    numbers["spread"] = quantile(0.75) - quantile(0.25)
    if near_air.any():
        numbers["air_hu"] = float(np.argmax(near_air)) - 1100
    numbers["air_share"] = _share(counts, *AIR_BAND_HU)
    numbers["tissue_share"] = _share(counts, *TISSUE_BAND_HU)
    numbers["below_air_share"] = _share(counts, -32768, EMPTIEST_HU)
    numbers["fat_share"] = _share(counts, -150, -20)
    numbers["tissue_peak"] = _peak(counts)
    return {name: round(value, 6) for name, value in numbers.items()}


def _share(counts: NDArray[np.int64], low: int, high: int) -> float:
    return float(counts[low + 32768 : high + 32769].sum() / counts.sum())


def _peak(counts: NDArray[np.int64]) -> float:
    """Return how far the fullest 21 HU of the tissue band stand out from its mean (1: flat)."""
    band = counts[TISSUE_BAND_HU[0] + 32768 : TISSUE_BAND_HU[1] + 32769]
    if not band.any():
        return 0.0
    return float(np.convolve(band, np.ones(21) / 21, "valid").max() / band.mean())


def _verdict(counts: NDArray[np.int64], numbers: Mapping[str, float]) -> Verdict:
    if not numbers or numbers["below_air_share"] > 0.02:
        return "unproved"
    # Noise spreads air both ways; a crowd that lies mostly below the band is not air.
    if _share(counts, -32768, PADDING_BELOW_HU) > 0.6 * numbers["air_share"]:
        return "unproved"
    # Soft tissue outweighs, per HU, both the valley towards lung and the slope of bone, and is
    # plentiful or peaked. In values that were rescaled twice, soft tissue poses as air and bone
    # sits in the tissue band: a few voxels, on a slope.
    tissue = numbers["tissue_share"] / 301
    valley = _share(counts, -600, -250) / 351
    bone = _share(counts, 300, 600) / 301
    if numbers["air_share"] >= 0.002:
        outweighs = tissue >= 0.5 * max(valley, bone)
        crowd = numbers["tissue_share"] >= 0.08 or (
            numbers["tissue_share"] >= 0.01 and numbers["tissue_peak"] >= 1.5
        )
        return "air" if outweighs and crowd else "unproved"
    plausible = (  # a crop inside the body
        numbers["tissue_share"] >= 0.5
        and numbers["fat_share"] >= 0.01
        and numbers["tissue_share"] - numbers["fat_share"] >= 0.35
        and numbers["max"] - numbers["min"] > 255  # eight bits would hold it: no CT export
        and 8 <= numbers["spread"] <= 300
        and numbers["min"] >= PADDING_BELOW_HU
        and 60 <= numbers["max"] <= 32766
        and numbers["p99"] <= 3100
    )
    return "tissue" if plausible else "unproved"


def refuse(evidence: HuEvidence, remedy: str) -> IntensityError:
    """Return the error that says why values are not taken as Hounsfield units."""
    numbers = evidence.numbers
    if evidence.verdict == "tissue":
        return IntensityError(
            "No air is in view, so the values can be Hounsfield units but are not proved to be.",
            remedy=remedy,
            code="hu.no_air_in_view",
            facts=dict(numbers),
        )
    if not numbers:
        found = "the volume has no values besides padding"
    else:
        found = (
            f"values run from {numbers['min']:g} to {numbers['max']:g} (median {numbers['p50']:g}), "
            f"{numbers['air_share']:.1%} of them near air (-1000 HU) and "
            f"{numbers['tissue_share']:.1%} near soft tissue (0 HU)"
        )
    return IntensityError(
        f"The values are not proved to be Hounsfield units: {found}.",
        remedy=remedy,
        code="hu.unproved",
        facts=dict(numbers),
    )
