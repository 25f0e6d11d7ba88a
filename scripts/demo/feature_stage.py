"""Look once at every drawn view with the trained tower, and keep the pooled patches."""

import sys
from pathlib import Path

import numpy as np
import torch
from language_stage import DRAWINGS
from pair import RANKS, run_pair
from pictures import normalised
from shape import configuration, demo_tokenizer
from tower_stage import Taught
from transformers import CLIPVisionModel

from longllava_domains.model.network.vision import patch_features, pool_patches

TOGETHER = 64


def look(rank: int, folder: Path) -> None:
    """Write features beside every file of pictures that has none yet: float16 (views, 4, width)."""
    taught = Taught(CLIPVisionModel(configuration(demo_tokenizer()).vision_config))
    taught.load_state_dict(torch.load(folder / "tower.pt", weights_only=True)["taught"])
    for path in sorted((folder / DRAWINGS).glob("*.npz"))[rank::RANKS]:
        goal = path.with_suffix(".features.npy")
        if goal.exists() or "partial" in path.name:
            continue
        pictures = np.load(path)["pictures"]
        found = []
        with torch.no_grad():
            for start in range(0, len(pictures), TOGETHER):
                features = patch_features(
                    taught.tower, normalised(pictures[start : start + TOGETHER]), -1
                )
                found.append(pool_patches(features, "4x4").half().numpy())
        np.save(goal.with_suffix(".partial.npy"), np.concatenate(found))
        goal.with_suffix(".partial.npy").rename(goal)
        print(f"features of {path.name}", flush=True)


if __name__ == "__main__":
    run_pair(look, Path(sys.argv[1]), Path(sys.argv[1]))
