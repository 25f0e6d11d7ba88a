"""Go on with the tower: each quarter of a view also learns to say where the object that fills it is.

A language model of this size does not find edges by itself: it saw 50,000 chips and put one box in
three where it belongs. Here the tower learns them from the drawings, as numbers that it can pass on.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pair import average_gradients
from pictures import Pictures, read
from shape import configuration, demo_tokenizer
from torch import Tensor, nn
from torch.nn import functional
from tower_stage import DRAWINGS, EVERY, Taught, Views, batch_of, loss_of, quick, rate
from transformers import CLIPVisionModel

from longllava_domains.adapters.phantoms.labelled_scene import OBJECTS
from longllava_domains.model.network.vision import patch_features, pool_patches

BATCH = {"chest": 12, "scene": 4, "slide": 2, "chip": 14}  # of each process
QUARTERS = np.array([(0, 0), (50, 0), (0, 50), (50, 50)], float)  # left and top, per cent of a view
QUARTER = 50.0
FILLED, UNSURE = 0.06, 0.0  # of a quarter
# An edge is told as itself and as where it stands in steps of these, per cent of a view: of which
# its digits can be read one by one.
STEPS = (40.0, 20.0)
CODES = 1 + 2 * len(STEPS)
EDGE_WEIGHT = 4.0
KEPT = "places.pt"


class Placed(nn.Module):
    """A taught tower with one more head: what fills each quarter of a view, and where that is."""

    def __init__(self, taught: Taught) -> None:
        super().__init__()
        self.taught = taught
        width = taught.tower.config.hidden_size
        self.place_head = nn.Linear(width, len(OBJECTS) + 4 * CODES)

    def forward(self, pixels: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Return what the taught tower tells, and logits of objects and codes of edges of quarters."""
        features = patch_features(self.taught.tower, pixels, -1)
        return self.taught.told(features), self.place_head(pool_patches(features, "4x4"))


def codes(edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (..., 4 * CODES), each within -1 and 1, of edges (..., 4) in per cent of a view."""
    turns = [2 * math.pi * edges / step for step in STEPS]
    parts = [edges / 50 - 1, *(wave(turn) for turn in turns for wave in (np.sin, np.cos))]
    return np.concatenate(parts, -1).astype(np.float32)


def quarters(shown: dict[str, list[list[float]]]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return what fills each quarter of a view, and where that is.

    Args:
        shown: Kind of object -> middle, width and height of each, per cent of the view.

    Returns:
        int8 (quarters, objects), 1 for the kind of the object that covers most of a quarter, -1
        where too little of one is in it to be sure, and float64 (quarters, 4) its edges.
    """
    there = np.zeros((len(QUARTERS), len(OBJECTS)), np.int8)
    edges = np.full((len(QUARTERS), 4), np.nan)
    boxes = [(OBJECTS.index(name), np.array(box)) for name in shown for box in shown[name]]
    most = np.full(len(QUARTERS), UNSURE)
    for kind, box in boxes:
        low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
        common = np.minimum(high, QUARTERS + QUARTER) - np.maximum(low, QUARTERS)
        share = common.clip(0).prod(1) / QUARTER**2
        unsure = (share > UNSURE) & (share < FILLED)
        there[unsure, kind] = np.where(there[unsure, kind] == 0, -1, there[unsure, kind])
        better = (share >= FILLED) & (share > most)
        there[better] = np.where(there[better] == 1, -1, there[better])
        there[better, kind] = 1
        edges[better], most[better] = box, share[better]
    return there, edges


def places(source: Pictures) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return `quarters` of every view; -1 and NaN where a view's boxes are not known."""
    there = np.full((len(source.covered), len(QUARTERS), len(OBJECTS)), -1, np.int8)
    edges = np.full((len(source.covered), len(QUARTERS), 4), np.nan)
    for fact, start in zip(source.facts, source.starts[:-1], strict=True):
        for number, shown in enumerate(_views_of(fact)):
            there[start + number], edges[start + number] = quarters(shown)
    return there, edges


def _views_of(fact: dict[str, Any]) -> list[dict[str, list[list[float]]]]:
    """Return what the first views of an example show: all chips, or the whole scene."""
    if "chips" in fact:
        return list(fact["chips"])
    shown: dict[str, list[list[float]]] = {}
    for name, left, top, right, bottom, side in fact.get("boxes", ()):
        middle, size = (left + right, top + bottom), (right - left, bottom - top)
        box = [50 * value / side for value in middle] + [100 * value / side for value in size]
        shown.setdefault(name, []).append(box)
    return [shown] if "boxes" in fact else []


def place_loss(told: Tensor, there: Tensor, edges: Tensor) -> Tensor:
    """Return the loss of what is told of quarters; what is not known costs nothing."""
    objects, coded = told.float().split([len(OBJECTS), 4 * CODES], -1)
    known = there >= 0
    seen = functional.binary_cross_entropy_with_logits(objects[known], there[known].float())
    placed = ~edges.isnan().any(-1)
    wanted = torch.from_numpy(codes(edges[placed].double().numpy()))
    return seen + EDGE_WEIGHT * functional.mse_loss(coded[placed], wanted)


def taught_places(folder: Path) -> Placed:
    """Return the tower and its heads as this stage left them."""
    placed = Placed(Taught(CLIPVisionModel(configuration(demo_tokenizer()).vision_config)))
    placed.load_state_dict(torch.load(folder / KEPT, weights_only=True)["placed"])
    return placed


def train(rank: int, folder: Path, steps: int, seed: int = 21, peak: float = 8e-4) -> None:
    """Train, or go on where an earlier run stopped; the curve is in places.json."""
    torch.manual_seed(seed)
    taught = Taught(CLIPVisionModel(configuration(demo_tokenizer()).vision_config))
    taught.load_state_dict(torch.load(folder / "tower.pt", weights_only=True)["taught"])
    placed = Placed(taught)
    sources = [Views(read(folder / DRAWINGS, kind), number) for kind, number in BATCH.items()]
    known = [places(views.source) for views in sources]
    optimiser = torch.optim.AdamW(placed.parameters(), lr=peak, weight_decay=0.02)
    kept, start, curve = folder / KEPT, 0, []
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        placed.load_state_dict(state["placed"])
        optimiser.load_state_dict(state["optimiser"])
        start, curve = state["step"], state["curve"]
    began, losses = time.perf_counter(), []
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, peak)
        picked, (pixels, covered, counts) = batch_of(
            sources, np.random.default_rng((seed, rank, step))
        )
        there, edges = (
            torch.from_numpy(np.concatenate([of[part][at] for of, at in zip(known, picked, strict=True)]))
            for part in (0, 1)
        )  # fmt: skip
        with quick():
            told, told_places = placed(pixels)
        what, where = loss_of(told, covered, counts), place_loss(told_places, there, edges)
        optimiser.zero_grad()
        (what + where).backward()
        average_gradients(placed)
        nn.utils.clip_grad_norm_(placed.parameters(), 1.0)
        optimiser.step()
        losses.append([float(what.detach()), float(where.detach())])
        if ((step + 1) % EVERY == 0 or step + 1 == steps) and rank == 0:
            curve.append([step + 1, *(round(float(x), 4) for x in np.mean(losses, 0))])
            losses = []
            print(f"places {curve[-1]} of {steps}, {time.perf_counter() - began:.0f} s", flush=True)
            state = {"placed": placed.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": step + 1, "curve": curve}  # fmt: skip
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").rename(kept)
            kept.with_suffix(".json").write_text(json.dumps(curve))
