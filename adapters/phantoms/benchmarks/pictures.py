"""Small pictures with one thing to see: a bright disc or a bright square, on either side."""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Thing = Literal["disc", "square"]


def picture(thing: Thing, *, on_the_left: bool, seed: int, size_px: int = 96) -> Image.Image:
    """Draw a grey picture with some noise and one bright thing.

    Args:
        thing: What is drawn.
        on_the_left: Of the picture.
        seed: Of the noise, and of how high the thing lies.
        size_px: Side of the picture.
    """
    noise = np.random.default_rng(seed)
    image = Image.fromarray(noise.integers(30, 70, (size_px, size_px), np.uint8)).convert("RGB")
    x = size_px * (0.27 if on_the_left else 0.73)
    y = size_px * float(noise.uniform(0.3, 0.7))
    reach = size_px / 7
    box = (x - reach, y - reach, x + reach, y + reach)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if thing == "disc" else draw.rectangle)(box, fill=(225, 225, 225))
    return image


def things(count: int) -> list[tuple[Thing, bool]]:
    """Return what each of several pictures shows: every kind on every side in turn."""
    kinds: tuple[Thing, ...] = ("disc", "square")
    return [(kinds[k % 2], k // 2 % 2 == 0) for k in range(count)]


def save(image: Image.Image, path: Path) -> None:
    """Write a picture, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
