import numpy as np

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.chest_evidence import chest_evidence
from longllava_domains.ct.from_array import volume_from_array


def evidence(hu: np.ndarray) -> object:
    phantom = chest_phantom(shape=(12, 96, 96), spacing_mm=(25, 4, 4))
    return chest_evidence(volume_from_array(hu, phantom.affine_ras_mm))


def test_a_chest_is_told_by_its_lungs() -> None:
    assert evidence(chest_phantom(shape=(12, 96, 96), spacing_mm=(25, 4, 4)).hu).is_chest


def test_noisy_air_between_arms_trunk_and_table_is_not_lung() -> None:
    hu = chest_phantom(shape=(12, 96, 96), spacing_mm=(25, 4, 4), noise_hu=0).hu.copy()
    hu[(hu > -960) & (hu < -600)] = 40  # no lungs
    hu[:, 30:60, 4:8] = 40  # two arms beside the trunk
    hu[:, 30:60, 88:92] = 40
    noise = np.random.default_rng(0).normal(0, 60, hu.shape)
    hu = np.where(hu < -900, hu + noise, hu).clip(-1024, 3000).astype(np.int16)
    found = evidence(hu)
    assert (found.is_chest, found.code, found.lung_share) == (False, "chest.no_lung", 0.0)
