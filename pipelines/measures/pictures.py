"""Pictures for measures: haystack frames, a needle, large images with a small target, pairs."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from longllava_domains.visual import ImagePlace, View

Pixels = NDArray[np.uint8]
COLOURS: Final = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 210),
                  "yellow": (230, 210, 50)}  # fmt: skip


def haystack(number: int, size_px: int, seed: int) -> Pixels:
    """Return a grey frame of soft shapes, another one for each number."""
    rng = np.random.default_rng((seed, number))
    small = rng.integers(40, 200, (6, 6), np.uint8)
    grey = Image.fromarray(small).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)


def with_disc(pixels: Pixels, colour: str, radius: float, centre: tuple[float, float]) -> Pixels:
    """Return a picture with a disc of one colour.

    Args:
        pixels: uint8 (rows, columns, 3).
        colour: Name in `COLOURS`.
        radius: Pixels.
        centre: (x, y), pixels.
    """
    image = Image.fromarray(pixels)
    x, y = centre
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, fill=COLOURS[colour])
    return np.asarray(image)


def view(pixels: Any) -> View:
    """Return a picture as a view."""
    array = np.asarray(pixels, np.uint8)
    return View(array, ImagePlace(array.shape[1], array.shape[0]))


def disc_frame(colour: str, size_px: int, seed: int) -> Pixels:
    """Return a haystack frame with a large disc in its middle."""
    middle = size_px / 2
    return with_disc(haystack(1, size_px, seed), colour, size_px / 4, (middle, middle))
