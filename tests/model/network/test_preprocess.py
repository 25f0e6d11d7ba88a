"""Preprocessing equals transformers' own CLIP processor after the original's padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessorPil

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.visual import SlicePlace, View

PLACE = SlicePlace(0, 0.0, 1.0, "lung")


def clip(picture: Image.Image, side: int = 336) -> torch.Tensor:
    """Pad as the original code does, then let transformers do the rest."""
    width, height = picture.size
    longest = max(width, height)
    if width != height:
        square = Image.new("RGB", (longest, longest), (122, 116, 104))
        square.paste(picture, ((longest - width) // 2, (longest - height) // 2))
        picture = square
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    return processor(picture, return_tensors="pt")["pixel_values"][0]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_any_size_gives_what_the_original_pipeline_gives(
    height: int, width: int, seed: int
) -> None:
    pixels = noise(height, width, seed)
    found = pixel_values([pixels], 56)[0]
    assert (found - clip(Image.fromarray(pixels), 56)).abs().max() < 1e-6


def test_views_pictures_and_arrays_give_the_same_pixels() -> None:
    pixels = noise(50, 80)
    found = pixel_values([pixels, Image.fromarray(pixels), View(pixels, PLACE)])
    assert found.shape == (3, 3, 336, 336)
    assert found.dtype == torch.float32
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("side", [336, 512, 100])
def test_a_broadcast_grey_view_takes_the_short_way_to_the_same_pixels(side: int) -> None:
    grey = noise(side, side)[:, :, :1]
    view = View(np.broadcast_to(grey, (side, side, 3)), PLACE)
    assert view.pixels.strides[2] == 0
    long_way = pixel_values([np.repeat(grey, 3, axis=2)])
    assert torch.equal(pixel_values([view]), long_way)
    assert torch.equal(pixel_values([grey[:, :, 0]]), long_way)


def test_a_grey_view_that_is_not_square_is_padded_in_colour() -> None:
    view = View(np.broadcast_to(np.full((20, 40, 1), 90, np.uint8), (20, 40, 3)), PLACE)
    found = pixel_values([view], 40)[0]
    assert torch.equal(found, clip(Image.fromarray(np.array(view.pixels)), 40))
    assert found[0, 0, 0] != found[0, 20, 20]


def test_palettes_and_transparency_become_rgb() -> None:
    pixels = Image.fromarray(noise(30, 30))
    palette = pixels.convert("P")
    assert torch.equal(pixel_values([palette]), pixel_values([palette.convert("RGB")]))
    assert torch.equal(pixel_values([pixels.convert("RGBA")]), pixel_values([pixels]))


def test_no_images_are_an_empty_tensor() -> None:
    assert pixel_values([]).shape == (0, 3, 336, 336)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        Image.new("I;16", (4, 4)),
        Image.new("F", (4, 4)),
    ],
)
def test_more_than_eight_bits_are_refused_rather_than_clipped(picture: object) -> None:
    with pytest.raises(UnsupportedInputError, match="8-bit"):
        pixel_values([picture])
