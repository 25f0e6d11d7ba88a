"""Pooling is the interpolation of the original, and the projector its layers."""

import pytest
import torch
from transformers import CLIPVisionConfig, JambaConfig

from longllava_domains.model import LongLlavaConfig
from longllava_domains.model.network.vision import Projector, pool_patches


def interpolated(features: torch.Tensor, side: int) -> torch.Tensor:
    """What the original code calls: bilinear, align_corners off, no antialiasing."""
    images, patches, width = features.shape
    grid = round(patches**0.5)
    plane = features.transpose(1, 2).reshape(images, width, grid, grid)
    half = torch.nn.functional.interpolate(plane, size=(side, side), mode="bilinear")
    return half.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_2d_is_bilinear_interpolation_to_half_the_grid(dtype: torch.dtype) -> None:
    features = torch.randn(2, 576, 5).to(dtype)
    pooled = pool_patches(features, "2d")
    assert pooled.shape == (2, 144, 5)
    torch.testing.assert_close(pooled, interpolated(features, 12), atol=1e-6, rtol=0)


def test_4x4_is_2d_twice() -> None:
    features = torch.randn(2, 576, 5)
    twice = pool_patches(pool_patches(features, "2d"), "2d")
    assert pool_patches(features, "4x4").shape == (2, 36, 5)
    torch.testing.assert_close(pool_patches(features, "4x4"), twice)


def test_1d_is_linear_interpolation_to_a_quarter_of_the_length() -> None:
    features = torch.randn(2, 576, 5)
    expected = torch.nn.functional.interpolate(
        features.transpose(1, 2), size=144, mode="linear"
    ).transpose(1, 2)
    torch.testing.assert_close(pool_patches(features, "1d"), expected)


def test_none_keeps_every_patch() -> None:
    features = torch.randn(2, 576, 5)
    assert torch.equal(pool_patches(features, "none"), features)


def test_a_patch_lands_in_the_token_that_covers_it() -> None:
    features = torch.zeros(1, 576, 1)
    features[0, 24 * 6 + 9] = 4  # row 6, column 9 of the grid
    assert pool_patches(features, "2d")[0, 12 * 3 + 4, 0] == 1
    assert pool_patches(features, "4x4")[0, 6 * 1 + 2, 0] == 0.25


def test_the_projector_uses_the_exact_gelu() -> None:
    config = LongLlavaConfig(
        text_config=JambaConfig(
            vocab_size=1600, hidden_size=8, num_attention_heads=2, num_key_value_heads=2
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=4, num_attention_heads=2, image_size=336, patch_size=14
        ),
    )
    projector = Projector(config)
    features = torch.randn(3, 4)
    hidden = projector.linear_1(features)
    exact = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(projector(features), projector.linear_2(exact))
