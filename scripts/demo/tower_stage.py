"""Train the tower alone: to say of every patch and every view what it shows.

The paper's stages begin with a trained CLIP. This stage is ours: it stands in for that training.
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pair import average_gradients, run_pair
from pictures import CLASSES, COUNTED, Pictures, normalised, read
from shape import configuration, demo_tokenizer
from torch import Tensor, nn
from torch.nn import functional
from tower_start import begin_tower
from transformers import CLIPVisionModel

from longllava_domains.model.kernels.int8_matmul import compute_dtype
from longllava_domains.model.network.vision import patch_features, pool_patches

DRAWINGS = "for_tower"  # the folder of what is learned from
SEEN, UNSURE = 6, 1  # 255ths of a patch
BATCH = {"chest": 24, "scene": 6, "slide": 2}  # of each process
EVERY = 25
SHOWING_SHARE = 0.75


class Taught(nn.Module):
    """A tower with the heads that teach it; the heads are thrown away afterwards."""

    def __init__(self, tower: CLIPVisionModel) -> None:
        super().__init__()
        width = tower.config.hidden_size
        self.tower = tower
        self.patch_head = nn.Linear(width, len(CLASSES))
        self.view_head = nn.Linear(width, len(CLASSES))
        self.count_head = nn.Linear(width, len(COUNTED) * 5)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is told of views, see `told`."""
        return self.told(patch_features(self.tower, pixels, -1))

    def told(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of patches, of views (told by each of four tokens), and of counts."""
        pooled = pool_patches(features, "4x4")
        counts = self.count_head(pooled).unflatten(-1, (len(COUNTED), 5))
        return self.patch_head(features), self.view_head(pooled), counts


def quick() -> torch.autocast:
    """Return bfloat16 for what follows; without its instructions a step took 5.4 s instead of 0.4 s."""
    fast = compute_dtype("cpu", torch.bfloat16) == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)


def loss_of(told: tuple[Tensor, Tensor, Tensor], covered: Tensor, counts: Tensor) -> Tensor:
    """Return the loss of what is told of one batch."""
    patches, views, counted = (part.float() for part in told)
    shown = covered.flatten(2).transpose(1, 2)  # (views, patches, classes)
    sure = ((shown >= SEEN) | (shown < UNSURE)).float()
    there = (shown >= SEEN).float()
    each = functional.binary_cross_entropy_with_logits(
        patches, there, reduction="none", pos_weight=torch.tensor(2.0)
    )
    local = (each * sure).sum(-1).mean()
    whole = there.amax(1, keepdim=True).expand(-1, 4, -1)
    doubtful = (1 - sure).amax(1, keepdim=True) * (1 - there.amax(1, keepdim=True))
    told = functional.binary_cross_entropy_with_logits(
        views, whole, reduction="none", pos_weight=torch.tensor(2.0)
    )
    view = (told * (1 - doubtful)).sum(-1).mean()
    known = counts >= 0
    number = views.new_zeros(())
    if known.any():
        target = counts[:, None].expand(-1, 4, -1)[known[:, None].expand(-1, 4, -1)].long()
        number = functional.cross_entropy(counted[known[:, None].expand(-1, 4, -1)], target)
    return local + 0.5 * view + number


class Views:
    """All views of one kind, and which of them show each class."""

    def __init__(self, source: Pictures, number: int) -> None:
        self.source, self.number = source, number
        seen = source.covered.max((2, 3)) >= SEEN
        self.showing = [np.flatnonzero(column) for column in seen.T if column.any()]

    def draw(self, chance: np.random.Generator) -> NDArray[np.int64]:
        """Return views of which most show a class drawn with even odds, so that rare ones come up."""
        number = self.number
        picked = chance.integers(0, len(self.source.pictures), number)
        for position in range(round(SHOWING_SHARE * number)):
            showing = self.showing[int(chance.integers(0, len(self.showing)))]
            picked[position] = showing[int(chance.integers(0, len(showing)))]
        if self.source.kind in (
            "scene",
            "slide",
        ):  # a third are whole scenes or slides, which tell counts
            picked[: number // 3 + 1] = chance.choice(self.source.starts[:-1], number // 3 + 1)
        return picked


def batch_of(
    sources: list[Views], chance: np.random.Generator
) -> tuple[list[NDArray[np.int64]], tuple[Tensor, Tensor, Tensor]]:
    """Draw one batch; return which views of each source, and these, changed in contrast a little."""
    picks, pixels, covered, counts = [], [], [], []
    for views in sources:
        picked = views.draw(chance)
        picks.append(picked)
        shown = normalised(views.source.pictures[picked])
        gain = chance.uniform(0.94, 1.06, (len(picked), 1, 1, 1)).astype(np.float32)
        pixels.append(shown * torch.from_numpy(gain))
        covered.append(torch.from_numpy(views.source.covered[picked]))
        counts.append(torch.from_numpy(views.source.counts[picked]))
    return picks, (torch.cat(pixels), torch.cat(covered), torch.cat(counts))


def rate(step: int, steps: int, peak: float) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    rise = min(1.0, (step + 1) / 100)
    return peak * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def train(rank: int, folder: Path, steps: int, seed: int = 1, peak: float = 1.5e-3) -> None:
    """Train, or go on where an earlier run stopped; the curve is in tower.json."""
    torch.manual_seed(seed)
    taught = Taught(CLIPVisionModel(configuration(demo_tokenizer()).vision_config))
    sources = [Views(read(folder / DRAWINGS, kind), number) for kind, number in BATCH.items()]
    begin_tower(taught.tower, [views.source.pictures for views in sources])
    optimiser = torch.optim.AdamW(taught.parameters(), lr=peak, weight_decay=0.02)
    kept = folder / "tower.pt"
    curve: list[list[float]] = []
    start = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        taught.load_state_dict(state["taught"])
        optimiser.load_state_dict(state["optimiser"])
        start, curve = state["step"], state["curve"]
    began, losses = time.perf_counter(), []
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, peak)
        _, (pixels, covered, counts) = batch_of(sources, np.random.default_rng((seed, rank, step)))
        with quick():
            told = taught(pixels)
        loss = loss_of(told, covered, counts)
        optimiser.zero_grad()
        loss.backward()
        average_gradients(taught)
        nn.utils.clip_grad_norm_(taught.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if ((step + 1) % EVERY == 0 or step + 1 == steps) and rank == 0:
            mean, losses = sum(losses) / len(losses), []
            curve.append([step + 1, mean])
            seconds = time.perf_counter() - began
            print(f"tower {step + 1}/{steps} loss {mean:.4f} {seconds:.0f} s", flush=True)
            state = {"taught": taught.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": step + 1, "curve": curve}  # fmt: skip
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").rename(kept)
            (folder / "tower.json").write_text(json.dumps(curve))


if __name__ == "__main__":
    run_pair(train, Path(sys.argv[1]), Path(sys.argv[1]), int(sys.argv[2]))
