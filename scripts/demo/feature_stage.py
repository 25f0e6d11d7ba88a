"""Look once at every drawn view with the trained tower, and keep the pooled patches."""

from pathlib import Path

import numpy as np
import torch
from pair import shared
from pictures import normalised
from place_stage import taught_places
from transformers import CLIPVisionModel

from longllava_domains.model import load_checkpoint
from longllava_domains.model.network.vision import patch_features, pool_patches

TOGETHER = 64


def look_when_taught(rank: int, drawings: Path, folder: Path) -> None:
    """Look with the tower as its own stages left it in a folder of work; see `_look`."""
    _look(rank, drawings, taught_places(folder).taught.tower)


def look_when_packaged(rank: int, drawings: Path, package: Path) -> None:
    """Look with the tower of a packaged model; see `_look`."""
    _look(rank, drawings, load_checkpoint(package, dtype="float32").model.vision_tower)


def _look(rank: int, drawings: Path, tower: CLIPVisionModel) -> None:
    """Write features beside every file of pictures that has none yet: float16 (views, 4, width)."""
    for path in shared(sorted(drawings.glob("*.npz")), rank):
        goal = path.with_suffix(".features.npy")
        if goal.exists() or "partial" in path.name:
            continue
        pictures = np.load(path)["pictures"]
        found = []
        with torch.no_grad():
            for start in range(0, len(pictures), TOGETHER):
                features = patch_features(tower, normalised(pictures[start : start + TOGETHER]), -1)
                found.append(pool_patches(features, "4x4").half().numpy())
        np.save(goal.with_suffix(".partial.npy"), np.concatenate(found))
        goal.with_suffix(".partial.npy").rename(goal)
        print(f"features of {path.name}", flush=True)
