"""Volumes are changed in Hounsfield units, by MONAI, as a function of what is drawn alone."""

from pathlib import Path

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.adapters.data.domain_pictures import VolumePicture
from longllava_domains.adapters.data.loader import generator_of
from longllava_domains.adapters.data.many_views.augmentation import VolumeAugmentation
from longllava_domains.adapters.recipes.registry import recipe
from longllava_domains.errors import PolicyError

PHANTOM = Path(__file__).parents[3] / "examples" / "chest_phantom.nii.gz"


def chance(epoch: int = 0, key: str = "a") -> np.random.Generator:
    return generator_of(0, epoch, key)


@pytest.fixture(scope="module")
def volume() -> ct.CTVolume:
    """A block off the middle, in air."""
    array = np.full((6, 64, 64), -1000, np.int16)
    array[:, 10:20, 30:40] = 1000
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [-5.0, 0, 0, 0], [0, 0, 0, 1]])
    return ct.volume_from_array(array, affine, hu="trust")


def centre(hu: np.ndarray) -> np.ndarray:
    return np.argwhere(hu[0] > 0).mean(0)


def test_a_shift_moves_every_slice_alike_and_within_its_limit(volume: ct.CTVolume) -> None:
    moved = VolumeAugmentation(shift_mm=10).changed(volume, chance())
    step = (centre(moved.hu) - centre(volume.hu)) * 2.0
    assert 0.5 < np.abs(step).max() <= 10
    assert all(np.array_equal(moved.hu[0], slice_) for slice_ in moved.hu)
    assert np.array_equal(moved.affine_ras_mm, volume.affine_ras_mm)
    assert {-1000, 1000} <= set(np.unique(moved.hu))
    assert moved.hu.min() >= -1024


def test_a_turn_is_about_the_middle_of_the_slice(volume: ct.CTVolume) -> None:
    turned = VolumeAugmentation(rotation_degrees=20).changed(volume, chance())
    arms = [centre(each.hu) - 31.5 for each in (volume, turned)]
    assert np.linalg.norm(arms[0]) == pytest.approx(np.linalg.norm(arms[1]), rel=0.02)
    angle = np.degrees(np.arctan2(*arms[1]) - np.arctan2(*arms[0]))
    assert 1 < abs(angle) <= 20


def test_noise_has_the_size_that_was_asked_for_and_no_slice_repeats_it(
    volume: ct.CTVolume,
) -> None:
    noisy = VolumeAugmentation(noise_hu=25).changed(volume, chance()).hu - volume.hu
    assert noisy.std() == pytest.approx(25, rel=0.05)
    assert not np.array_equal(noisy[0], noisy[1])


def test_what_is_drawn_follows_from_seed_epoch_and_sample(volume: ct.CTVolume) -> None:
    how = VolumeAugmentation(5, 5, 20)
    one, again = (how.changed(volume, chance(1, "b")) for _ in range(2))
    assert np.array_equal(one.hu, again.hu)
    # Reading slices alone gives what reading all of them gives.
    assert np.array_equal(again.source.read([4, 2]), one.hu[[4, 2]])
    for other in (chance(2, "b"), chance(1, "c")):
        assert not np.array_equal(how.changed(volume, other).hu, one.hu)


def test_a_training_row_is_changed_before_it_is_windowed() -> None:
    picture = VolumePicture(PHANTOM, "phantom", ct.SlicePolicy(count=2, view_px=28))
    plain, changed = (
        np.stack([view.pixels for view in views])
        for views in (picture.load(), picture.load_changed(VolumeAugmentation(5, 5, 20), chance()))
    )
    assert plain.shape == changed.shape
    assert 0 < np.abs(plain.astype(int) - changed).mean() < 60


def test_a_recipe_takes_it_and_is_renamed() -> None:
    changed = recipe("ct-rate-reports", **{"augmentation.noise_hu": "12"})
    assert changed.name == "ct-rate-reports-modified"
    assert changed.augmentation == VolumeAugmentation(noise_hu=12.0)
    with pytest.raises(PolicyError):
        recipe("ct-rate-reports", **{"augmentation.rotation_degrees": 90})
