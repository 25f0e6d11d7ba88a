"""How well a small network reads where a thing is, from what the demonstration model's tower keeps of a chip.

Chips of drawn scenes that show one object; the tower stays as it is, and only the small network learns the four
edges, from its pooled patches or from what the projector makes of them. It tells whether boxes are lost before
the language model or in it.

    python benchmarks/demo_places.py WORK
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts/demo"))

import chip_stage
from pictures import normalised

from longllava_domains.model import load_checkpoint
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.model.network.vision import patch_features, pool_patches

PARTS, SCENES, FIRST_SEED = 5, 250, 400_000
LEARNED = 0.8  # of the chips; the others are measured on
STEPS, BATCH, PEAK, TOGETHER = 3000, 256, 2e-3, 64


def single_objects(work: Path) -> tuple[np.ndarray, Tensor]:
    """Draw chips; return those with one object, and its middle and size as shares of the side."""
    pictures, edges = [], []
    for part in range(PARTS):
        drawn = np.load(chip_stage.draw(work, FIRST_SEED + part * 10_000, SCENES))
        chips = [chip for fact in json.loads(str(drawn["facts"])) for chip in fact["chips"]]
        for picture, chip in zip(drawn["pictures"], chips, strict=True):
            boxes = [box for each in chip.values() for box in each]
            if len(boxes) == 1:
                pictures.append(picture)
                edges.append(boxes[0])
    return np.stack(pictures), torch.tensor(edges).float() / 100


def overlap(told: Tensor, true: Tensor) -> Tensor:
    """Return intersection over union of boxes (middle, size)."""
    (low, high), (true_low, true_high) = (
        (box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2) for box in (told, true)
    )
    both = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(0).prod(1)
    return both / (told[:, 2:].prod(1) + true[:, 2:].prod(1) - both)


def read(features: Tensor, edges: Tensor) -> dict[str, float]:
    """Teach a small network the edges, and measure it on chips that it did not see."""
    torch.manual_seed(0)
    number = round(LEARNED * len(features))
    mean, spread = features[:number].mean(0), features[:number].std(0) + 1e-4
    features = (features - mean) / spread
    network = nn.Sequential(
        nn.Linear(features.shape[1], 256), nn.GELU(), nn.Dropout(0.1),
        nn.Linear(256, 128), nn.GELU(), nn.Linear(128, 4),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(0, number, (BATCH,))
        loss = (network(features[rows]) - edges[rows]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        met = overlap(network(features[number:]), edges[number:])
    return {
        "mean_iou": round(float(met.mean()), 3),
        "iou_of_half": round(float((met >= 0.5).float().mean()), 3),
    }


def main(work: Path) -> None:
    """Print the figures as JSON."""
    work.mkdir(parents=True, exist_ok=True)
    pictures, edges = single_objects(work)
    model = load_checkpoint(locate("demo").folder, dtype="float32").model
    with torch.no_grad():
        pooled = torch.cat(
            [
                pool_patches(
                    patch_features(
                        model.vision_tower, normalised(pictures[at : at + TOGETHER]), -1
                    ),
                    model.config.pooling,
                )
                for at in range(0, len(pictures), TOGETHER)
            ]
        )
        projected = model.multi_modal_projector(pooled)
    found = {"chips": len(pictures), "measured_on": len(pictures) - round(LEARNED * len(pictures))}
    parts = {"tower": pooled, "projector": projected}
    print(json.dumps(found | {name: read(x.flatten(1), edges) for name, x in parts.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
