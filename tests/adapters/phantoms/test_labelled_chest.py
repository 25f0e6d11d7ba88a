"""A labelled chest shows what it says, where it says, and no seed of one split is drawn as the other."""

from pathlib import Path

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.chest_findings import PLANTERS
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of
from longllava_domains.ct_rate_labels import CT_RATE_LABELS


def test_every_planter_plants_a_label_of_ct_rate_where_its_slices_say() -> None:
    assert set(PLANTERS) <= set(CT_RATE_LABELS)
    assert len(PLANTERS) >= 8
    for seed, label in enumerate(PLANTERS):
        chest = labelled_chest(seed, findings=(label,))
        (found,) = chest.planted
        assert found.label == label
        assert found.slices == tuple(sorted(found.slices))
        seen = np.flatnonzero(found.coverage.sum((1, 2)) > 0)
        assert set(found.slices) <= set(seen.tolist())
        middle = found.centre_mm[0] / chest.phantom.spacing_mm[0]
        assert seen[0] <= middle <= seen[-1]


def test_a_nodule_is_soft_tissue_where_lung_would_be() -> None:
    with_it, without = (labelled_chest(7, findings=names) for names in (("Lung nodule",), ()))
    (nodule,) = with_it.planted
    index = nodule.slices[len(nodule.slices) // 2]
    square = np.unravel_index(nodule.coverage[index].argmax(), (8, 8))
    step = with_it.phantom.hu.shape[1] // 8
    rows, columns = (slice(n * step, (n + 1) * step) for n in square)
    shown, plain = (
        chest.phantom.hu[index, rows, columns].astype(int) for chest in (with_it, without)
    )
    assert (shown - plain).max() > 600


def test_the_same_seed_is_the_same_chest() -> None:
    first, again = labelled_chest(3), labelled_chest(3)
    assert np.array_equal(first.phantom.hu, again.phantom.hu)
    assert first.report() == again.report()


def test_held_out_chests_have_slice_distances_that_training_never_shows() -> None:
    seeds = range(400)
    held_out = [seed for seed in seeds if split_of(seed) == "held-out"]
    assert 20 < len(held_out) < 90
    training = [seed for seed in seeds if split_of(seed) == "train"][:3]
    steps = [
        {labelled_chest(seed, findings=()).phantom.spacing_mm[0] for seed in group}
        for group in (held_out[:3], training)
    ]
    assert not steps[0] & steps[1]


def test_a_chest_without_findings_says_so() -> None:
    assert labelled_chest(1, findings=()).report().startswith("Findings: No abnormality")


def test_a_written_chest_opens_as_a_ct_with_the_same_voxels(tmp_path: Path) -> None:
    chest = labelled_chest(5, findings=("Pleural effusion",))
    write_dicom_series(chest.phantom, tmp_path / "series")
    volume = ct.open_volume(tmp_path / "series")
    assert np.array_equal(volume.hu, chest.phantom.hu)
    assert volume.spacing_mm == pytest.approx(chest.phantom.spacing_mm)
