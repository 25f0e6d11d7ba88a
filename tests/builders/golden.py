"""The golden checkpoints: small released-layout weights and what the original said of them."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from longllava_domains.model import load_checkpoint
from longllava_domains.model.network.preprocess import pixel_values

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


class Golden:
    """One golden checkpoint: the network, its images and what the original said."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        self.arrays = np.load(self.folder / "expected.npz")
        self.cases = json.loads((self.folder / "expected.json").read_text())["cases"]
        self.images = [Image.open(self.folder / "images" / f"{index}.png") for index in range(4)]
        self.pixels = pixel_values(self.images)
        self.network = load_checkpoint(self.folder, dtype=torch.float32)

    def array(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def ids(self, case: int) -> torch.Tensor:
        image = [self.network.config.image_token_id] * self.network.config.tokens_per_image
        expanded: list[int] = []
        for token in self.cases[case]["input_ids"]:
            expanded += image if token == -200 else [token]
        return torch.tensor([expanded])

    def pictures(self, case: int) -> torch.Tensor | None:
        shown = self.cases[case]["images"]
        return self.pixels[shown] if shown else None
