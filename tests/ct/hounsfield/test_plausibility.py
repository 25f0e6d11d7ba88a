"""Family: impossible Hounsfield units under a header that says HU.

The air peak decides, then fat and soft tissue; an envelope comes last. Long runs over crops, with
false refusals counted, are in `benchmarks/hu_plausibility.py`.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.hounsfield.evidence import assess_hu
from longllava_domains.ct.hounsfield.plausibility import judge

CHEST = chest_phantom(shape=(3, 128, 128), spacing_mm=(60.0, 3.0, 3.0), noise_hu=12).hu.astype(int)
# Lung and heart; the wall of the chest; fat, muscle and liver without air.
CROPS = {
    "whole": CHEST,
    "lung": CHEST[:, 30:110, 30:110],
    "wall": CHEST[:, 20:110, 10:70],
}
_RNG = np.random.default_rng(3)
INSIDE = _RNG.choice([-100, 50, 60, 200], (3, 90, 90), p=[0.2, 0.5, 0.25, 0.05]) + np.rint(
    _RNG.normal(0, 9, (3, 90, 90))
).astype(int)
BRAIN = np.rint(_RNG.normal(36, 7, (3, 90, 90))).astype(int)


def slipped(hu: NDArray[np.int_], slope: float, offset: float) -> NDArray[np.int16]:
    """Return what a wrong slope about -1024 and a wrong offset make of Hounsfield units."""
    values = np.rint(slope * (hu + 1024) - 1024 + offset)
    return np.clip(values, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("part", CROPS)
@pytest.mark.parametrize(
    ("slope", "offset"),
    [(1, 1024), (1, -1024), (1, -3072), (1, -32768), (2, 0), (0.5, 0), (10, 0), (1, 8192)],
)
def test_every_known_slip_of_a_chest_and_its_crops_is_refused(part, slope, offset) -> None:
    """Family: offsets applied twice or lost, and slopes of another export."""
    assert judge(CROPS[part].astype(np.int16), -1024).code == "air"
    assert judge(slipped(CROPS[part], slope, offset), -1024 + offset).code == "implausible"


@pytest.mark.parametrize(
    ("slope", "offset"), [(1, 1024), (1, -3072), (1, -32768), (2, 0), (0.5, 0), (10, 0)]
)
@pytest.mark.parametrize("inside", [INSIDE, BRAIN])
def test_slips_of_a_crop_without_air_are_refused(inside, slope, offset) -> None:
    """Family: the same inside the body, by fat and soft tissue, or by soft tissue alone."""
    assert judge(inside.astype(np.int16), -1024).code in ("no_air", "unprovable")
    assert judge(slipped(inside, slope, offset), -1024 + offset).code == "implausible"


def test_a_crop_is_told_by_fat_and_soft_tissue_and_brain_alone_is_unprovable() -> None:
    assert judge(INSIDE.astype(np.int16), -1024).code == "no_air"
    assert judge(BRAIN.astype(np.int16), -1024).code == "unprovable"


@pytest.mark.parametrize("shift", [40, 90, 160])
def test_air_that_is_a_little_off_is_a_code(shift) -> None:
    found = judge((CHEST + shift).astype(np.int16), -1024)
    assert found.code == "air"
    assert found.air_off_hu == pytest.approx(shift, abs=12)


@pytest.mark.parametrize("background", [0, -3])
def test_an_iodine_map_alone_is_refused(background) -> None:
    """Family: another unit under the type HU; nothing where air should be."""
    iodine = np.where(CHEST > 20, 12, background) + np.where(CHEST > 40, 25, 0)
    noisy = iodine + np.rint(np.random.default_rng(0).normal(0, 6, iodine.shape)).astype(int)
    assert judge(noisy.astype(np.int16), -1024).code == "implausible"
    assert judge(np.maximum(noisy, 0).astype(np.int16), -1024).code == "implausible"


def test_the_envelope_alone_would_let_slips_through() -> None:
    """Why it is the second test: most of a head is air, and stays inside at +1024 and slope 0.5."""
    for wrong in (slipped(CHEST, 1, 1024), slipped(CHEST, 0.5, 0)):
        assert ((wrong > -1100) & (wrong < 600)).mean() > 0.5
        assert (wrong < -1500).mean() < 0.02
        assert judge(wrong, -1024).code == "implausible"


def _near_lossless(hu: NDArray[np.int_], outside: NDArray[np.bool_]) -> NDArray[np.int_]:
    crowd = -2048 + np.random.default_rng(1).integers(-4, 5, hu.shape)
    return np.where(outside, crowd, hu)


def _two_values(hu: NDArray[np.int_], outside: NDArray[np.bool_]) -> NDArray[np.int_]:
    left = np.arange(hu.shape[2]) < hu.shape[2] // 2
    return np.where(outside, np.where(left, -2000, -3024), hu)


def _resampled(hu: NDArray[np.int_], outside: NDArray[np.bool_]) -> NDArray[np.int_]:
    padded = np.where(outside, -3024, hu).astype(float)
    return np.rint((padded[:, :-1, :-1] + padded[:, 1:, 1:]) / 2).astype(int)


@pytest.mark.parametrize("pad", [_near_lossless, _two_values, _resampled])
def test_padding_may_be_a_crowd(pad) -> None:
    """Family: padding that is not one value: lossy, two makers, or resampled at its edge."""
    hu = chest_phantom(shape=(3, 256, 256), spacing_mm=(60.0, 1.5, 1.5), noise_hu=12).hu.astype(int)
    y, x = np.mgrid[-128:128, -128:128]
    outside = np.broadcast_to(np.hypot(y, x) > 127, hu.shape)
    evidence = assess_hu(pad(hu, outside))
    assert evidence.verdict == "air"
    assert evidence.padding_below_hu is not None
    assert evidence.numbers["min"] > -1500
    # Air itself, moved there, is no padding: noise is wider than a constant.
    assert not assess_hu(hu - 1024).proved
