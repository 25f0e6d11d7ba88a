"""Hounsfield units are told from stored, shifted and foreign values by the values themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.hounsfield.evidence import assess_hu, refuse, sample

CHEST = chest_phantom(shape=(20, 96, 96), spacing_mm=(15.0, 4.0, 4.0), noise_hu=15).hu.astype(int)


def skull(bone_hu: int) -> NDArray[np.int64]:
    """A head: brain in a thick skull with scalp, half of the view air."""
    y, x = np.mgrid[-64:64, -64:64]
    radius = np.hypot(y, x)
    rng = np.random.default_rng(1)
    hu = np.full((6, 128, 128), -1000) + rng.normal(0, 12, (6, 128, 128)).astype(int)
    hu[:, radius < 56] += 940
    skull = (radius < 52) & (radius >= 47)
    hu[:, skull] = bone_hu + rng.normal(0, 200, (6, int(skull.sum()))).astype(int)
    hu[:, radius < 47] += 95
    return hu


@pytest.mark.parametrize("noise_hu", [0, 8, 60, 120])
def test_a_chest_is_proved_at_any_dose(noise_hu: int) -> None:
    noise = np.random.default_rng(0).normal(0, noise_hu, CHEST.shape)
    evidence = assess_hu(CHEST + noise)
    assert evidence.verdict == "air"
    assert evidence.numbers["air_hu"] == pytest.approx(-1000, abs=60)


@pytest.mark.parametrize("bone_hu", [700, 1000, 1400])
def test_a_head_is_proved_and_not_once_more(bone_hu: int) -> None:
    head = skull(bone_hu)
    assert assess_hu(head).verdict == "air"
    assert not assess_hu(head - 1024).proved
    assert not assess_hu(np.maximum(head - 1024, -1024)).proved  # rescaled twice, then clipped
    assert not assess_hu(np.maximum(head - 1024, -2048)).proved


@settings(deadline=None, max_examples=60)
@given(shift=st.integers(150, 9000) | st.integers(-9000, -250))
def test_a_shifted_chest_is_never_proved(shift: int) -> None:
    assert not assess_hu(CHEST + shift).proved


@settings(deadline=None, max_examples=30)
@given(factor=st.floats(0.02, 0.8) | st.floats(1.3, 30))
def test_a_stretched_chest_is_never_proved(factor: float) -> None:
    assert not assess_hu(CHEST * factor).proved


@pytest.mark.parametrize("padding", [-2000, -2048, -3024, -8192])
def test_padding_is_told_from_air(padding: int) -> None:
    padded = CHEST.copy()
    padded[:, :6] = padding
    evidence = assess_hu(padded)
    assert (evidence.verdict, evidence.padding_hu) == ("air", padding)
    assert evidence.numbers["min"] >= -1100


def test_a_crop_without_air_is_judged_by_fat_and_muscle() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.choice([-95, 50, 300], (20, 50, 50), p=[0.2, 0.77, 0.03])
    crop = kinds + rng.normal(0, 10, kinds.shape)
    evidence = assess_hu(crop)
    assert (evidence.verdict, evidence.plausible, evidence.proved) == ("tissue", True, False)
    assert refuse(evidence, "Pass hu.").code == "hu.no_air_in_view"
    assert not assess_hu(crop + 1024).plausible
    assert not assess_hu(crop - 1024).plausible
    assert not assess_hu(np.full((20, 50, 50), 50) + rng.normal(0, 10, (20, 50, 50))).plausible


@pytest.mark.parametrize(
    "foreign",
    [
        np.zeros((4, 8, 8)),
        np.full((4, 8, 8), -1000),
        np.random.default_rng(0).integers(0, 256, (8, 32, 32)),  # an 8-bit export
        np.abs(np.random.default_rng(0).normal(0, 400, (8, 32, 32))),  # magnitude MR
        np.random.default_rng(0).normal(0, 1, (8, 32, 32)),  # standardised
        np.random.default_rng(0).integers(-4096, 4096, (8, 32, 32)),  # MR phase
        np.clip(CHEST, -1000, 1000) / 1000,  # a model's input
        np.clip(CHEST // 8, -128, 127),  # signed bytes
        np.zeros((0, 8, 8)),
    ],
)  # fmt: skip
def test_what_is_not_ct_is_not_proved(foreign: NDArray[np.float64]) -> None:
    assert not assess_hu(foreign).proved


def test_a_sample_visits_every_column_of_a_large_volume() -> None:
    large = np.broadcast_to(np.arange(512, dtype=np.int16), (40, 512, 512)).copy()
    taken = sample(large)
    assert 500_000 <= taken.size <= 1_500_000
    assert len(np.unique(taken)) == 512


def test_the_refusal_gives_numbers_and_a_remedy() -> None:
    error = refuse(assess_hu(CHEST + 1024), "Pass hu=(1, -1024).")
    assert error.code == "hu.unproved"
    assert "near air" in str(error)
    assert error.remedy == "Pass hu=(1, -1024)."
    assert error.facts["air_share"] == 0.0
