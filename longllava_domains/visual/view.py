"""`View`: one image shown to the model, with its place in the source."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.visual.place import Place


@checked_fields
@dataclass(frozen=True, eq=False)
class View:
    """One image shown to the model, with its place in the source.

    Attributes:
        pixels: RGB uint8 (H, W, 3), read-only.
        place: Where the view lies in its source.

    Raises:
        PolicyError: The pixels are not RGB uint8, or have no area.
    """

    pixels: NDArray[np.uint8]
    place: Place

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise PolicyError(
                f"A view must be RGB uint8 (H, W, 3); found {pixels.dtype} {pixels.shape}.",
                remedy="Window or stretch the data to 0..255 and repeat one channel three times.",
                code="view.pixels",
            )
        # A private copy where the caller could still write; a broadcast grey view stays a view.
        if pixels.flags.writeable:
            frozen = pixels.copy()
            frozen.flags.writeable = False
            object.__setattr__(self, "pixels", frozen)

    def __repr__(self) -> str:
        rows, columns = self.pixels.shape[:2]
        return f"View({columns} x {rows} pixels, {self.place})"
