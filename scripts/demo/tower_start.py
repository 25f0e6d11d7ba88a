"""The tower's first values: patches, places and attention that see something before anything is learned."""

import numpy as np
import torch
from numpy.typing import NDArray
from pictures import normalised
from torch import Tensor
from transformers import CLIPVisionModel

VIEWS_LOOKED_AT = 300  # of each kind
LEAST_SPREAD = 0.05  # of a component, so that what is nearly constant is not all noise
PLACE_SCALE = 0.7


@torch.no_grad()
def begin_tower(tower: CLIPVisionModel, pictures: list[NDArray[np.uint8]]) -> None:
    """Begin with patches as principal components of spread 1, places as waves, and attention to the like.

    A body's outline has a hundred times the spread of a nodule; components of equal spread show both.

    Args:
        tower: Changed in place.
        pictures: Drawn views of each kind, uint8 (views, side, side) or (views, side, side, 3).
    """
    embeddings = tower.embeddings
    kernel = embeddings.patch_embedding.weight
    kernel.copy_(_components(pictures, kernel.shape[0], kernel.shape[2]).view_as(kernel))
    places = embeddings.position_embedding.weight
    places[1:].copy_(PLACE_SCALE * _waves(round((len(places) - 1) ** 0.5), places.shape[1]))
    for layer in tower.encoder.layers:
        layer.self_attn.q_proj.weight.copy_(layer.self_attn.k_proj.weight)


def _components(pictures: list[NDArray[np.uint8]], number: int, patch_px: int) -> Tensor:
    """Return (components, 3 * patch_px * patch_px), those of the largest spread, each scaled to spread 1."""
    patches = []
    for views in pictures:
        step = max(1, len(views) // VIEWS_LOOKED_AT)
        cut = normalised(views[::step][:VIEWS_LOOKED_AT])
        cut = cut.unfold(2, patch_px, patch_px).unfold(3, patch_px, patch_px)
        patches.append(cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2))
    every = torch.cat(patches).double()
    spread, directions = torch.linalg.eigh(torch.cov(every.T))
    order = spread.argsort(descending=True)[:number]
    scale = (spread[order].clamp_min(0).sqrt() + LEAST_SPREAD).reciprocal()
    return (directions[:, order] * scale).T.float()


def _waves(side: int, width: int) -> Tensor:
    """Return (side * side, width): sines and cosines of row and column, at several lengths."""
    lengths = torch.linspace(0, np.log(side * 2.0), width // 4).exp()
    at = torch.arange(side).float().unsqueeze(1) / lengths * 2 * np.pi / 2
    axis = torch.cat([at.sin(), at.cos()], 1)
    rows = axis.unsqueeze(1).expand(side, side, -1)
    columns = axis.unsqueeze(0).expand(side, side, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)
