"""Draw the chest phantoms that the demonstration model learns from, through the views of the pipeline."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest_findings import LUNG_WINDOW_ONLY, PLANTERS
from longllava_domains.adapters.phantoms.labelled_chest import (
    LabelledChest,
    labelled_chest,
    split_of,
)
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.pipelines.ct.preset import CTPreset

LABELS = tuple(PLANTERS)
VIEW_PX = 112


def views_of(chest: LabelledChest) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the views that `CTReport` would show, and what each shows.

    Returns:
        Grey views (views, 112, 112); coverage in 255ths (views, findings, 8, 8).
    """
    volume = volume_from_array(chest.phantom.hu, chest.phantom.affine_ras_mm)
    sequence = volume.to_sequence(CTPreset.named().policy(VIEW_PX))
    pictures = np.stack([view.pixels[:, :, 0] for view in sequence])
    covered = np.zeros((len(sequence), len(LABELS), 8, 8), np.uint8)
    for finding in chest.planted:
        column = LABELS.index(finding.label)
        for number, view in enumerate(sequence):
            if view.place.window == "lung" or finding.label not in LUNG_WINDOW_ONLY:
                share = finding.coverage[view.place.index]
                covered[number, column] = np.rint(255 * np.clip(share, 0, 1))
    return pictures, covered


def draw(folder: Path, first: int, volumes: int) -> Path:
    """Draw the first so many training phantoms from a seed on, into one file; done once.

    Args:
        folder: Where the file goes.
        first: Seed to begin with; held-out seeds are passed over.
        volumes: How many.
    """
    path = folder / f"chest_{first}_{volumes}.npz"
    if path.exists():
        return path
    seeds, pictures, covered, planted = [], [], [], []
    seed = first
    while len(seeds) < volumes:
        if split_of(seed) == "train":
            chest = labelled_chest(seed)
            shown, marks = views_of(chest)
            seeds.append(seed)
            pictures.append(shown)
            covered.append(marks)
            planted.append([label in chest.labels for label in LABELS])
        seed += 1
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        seeds=np.array(seeds),
        lengths=np.array([len(shown) for shown in pictures]),
        pictures=np.concatenate(pictures),
        covered=np.concatenate(covered),
        planted=np.array(planted),
        next_seed=np.array(seed),
    )
    partial.rename(path)
    return path


if __name__ == "__main__":
    import sys

    draw(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
