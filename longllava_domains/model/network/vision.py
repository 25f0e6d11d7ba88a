"""From pixels to the tokens that the language model sees: tower, pooling, projector."""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel

from longllava_domains.model.network.config import LongLlavaConfig


def patch_features(tower: CLIPVisionModel, pixel_values: Tensor, feature_layer: int = -2) -> Tensor:
    """Run the tower up to one hidden state and leave out the class token.

    Layers beyond that state are not computed: the last layer of the released towers is never used.

    Args:
        tower: The CLIP vision model.
        pixel_values: (images, 3, height, width), normalised.
        feature_layer: Index into the tower's hidden states, of which the first is the embedding.

    Returns:
        (images, patches, width of the tower), patches row by row.
    """
    states = len(tower.encoder.layers) + 1
    hidden = tower.pre_layrnorm(tower.embeddings(pixel_values))
    for layer in tower.encoder.layers[: range(states)[feature_layer]]:
        hidden = layer(hidden, attention_mask=None)
    return cast(Tensor, hidden[:, 1:])


def pool_patches(features: Tensor, pooling: str) -> Tensor:
    """Average patches, as the paper's bilinear interpolation to half the grid does.

    Args:
        features: (images, grid * grid, width), row by row.
        pooling: ``"2d"``, ``"4x4"``, ``"1d"`` or ``"none"``; see `LongLlavaConfig`.

    Returns:
        (images, tokens, width), row by row.
    """
    images, patches, width = features.shape
    if pooling == "none":
        return features
    if pooling == "1d":
        # Linear interpolation to a quarter of the length, align_corners off, lands half way
        # between the second and third of every four tokens.
        return features.view(images, patches // 4, 4, width)[:, :, 1:3].mean(2)
    side = 2 if pooling == "2d" else 4
    grid = round(patches**0.5)
    blocks = features.view(images, grid // side, side, grid // side, side, width)
    return blocks.mean((2, 4)).flatten(1, 2)


class Projector(nn.Module):
    """Linear, exact GELU, Linear: from the tower's width to the language model's.

    Args:
        config: Gives both widths.
    """

    def __init__(self, config: LongLlavaConfig) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Project (..., tower width) to (..., language width)."""
        return cast(Tensor, self.linear_2(nn.functional.gelu(self.linear_1(features))))


def in_micro_batches(pixel_values: Tensor, images_per_batch: int) -> tuple[Tensor, ...]:
    """Split images so that a thousand never pass through the tower at once."""
    return torch.split(pixel_values, max(images_per_batch, 1))
