"""Views to the tower's pixels: pad to a square, resize, normalise; with PIL and NumPy alone."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.visual import View

Picture = View | Image.Image | NDArray[np.uint8]

# Normalisation of openai/clip-vit-large-patch14-336 (preprocessor_config.json).
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
# int(mean * 255), as the original code pads.
PAD_COLOUR: Final = (122, 116, 104)

# One byte has 256 values: each channel is normalised by a look-up.
_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)
_TABLE = np.stack(
    [
        (_LEVELS - np.float32(mean)) / np.float32(std)
        for mean, std in zip(CLIP_MEAN, CLIP_STD, strict=True)
    ]
)


def pixel_values(pictures: Iterable[Picture], view_px: int = 336) -> Tensor:
    """Prepare images for the tower as the original implementation does.

    Each image is padded to a centred square with CLIP's mean colour, resized bicubically and
    normalised. Images that are square already are not padded, those of the right size not resized.

    Args:
        pictures: Views, PIL images, or uint8 arrays (H, W, 3) or (H, W).
        view_px: Side of the square that the tower takes, pixels.

    Returns:
        float32 (images, 3, view_px, view_px); no images give a tensor of length 0.

    Raises:
        UnsupportedInputError: An image of more than 8 bits, or an array of another shape.
    """
    prepared = [_normalise(_square(picture, view_px)) for picture in pictures]
    if not prepared:
        return torch.empty(0, 3, view_px, view_px)
    return torch.from_numpy(np.stack(prepared))


def _square(picture: Picture, side: int) -> NDArray[np.uint8]:
    """Return uint8 (side, side, 3), or (side, side, 1) for a grey view kept as one channel."""
    pixels = _bytes_of(picture)
    height, width = pixels.shape[:2]
    if height != width:
        pixels = _pad(np.broadcast_to(pixels, (height, width, 3)))
    if pixels.shape[0] == side:
        return pixels
    if pixels.shape[2] == 1:
        grey = Image.fromarray(pixels[:, :, 0]).resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(grey)[:, :, None]
    resized = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(resized.resize((side, side), Image.Resampling.BICUBIC))


def _pad(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    side = max(height, width)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = PAD_COLOUR
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _normalise(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    channels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return np.stack([_TABLE[index][channels[:, :, index]] for index in range(3)])


def _bytes_of(picture: Picture) -> NDArray[np.uint8]:
    """Return uint8 (H, W, 3), or (H, W, 1) where the three channels are one."""
    if isinstance(picture, View):
        # A grey view is one channel broadcast over three: PIL resizes channels independently, so
        # resizing it once gives the same bytes.
        return picture.pixels[:, :, :1] if picture.pixels.strides[2] == 0 else picture.pixels
    if isinstance(picture, Image.Image):
        if picture.mode == "F" or picture.mode.startswith("I"):
            raise _unsupported(f"an image of mode {picture.mode}")
        return np.asarray(picture.convert("RGB"))
    if picture.dtype == np.uint8 and picture.size:
        if picture.ndim == 2:
            return picture[:, :, None]
        if picture.ndim == 3 and picture.shape[2] == 3:
            return picture
    raise _unsupported(f"an array of {picture.dtype} with shape {picture.shape}")


def _unsupported(found: str) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"The model looks at 8-bit images; found {found}.",
        remedy="Window or stretch the data to uint8 RGB (H, W, 3) first.",
        code="image.depth",
    )
