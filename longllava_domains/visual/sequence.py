"""`View` and `VisualSequence`: what a loader hands over and a model looks at, immutable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import PolicyError
from longllava_domains.provenance import Provenance
from longllava_domains.units import content_hash
from longllava_domains.visual.place import Place

Layout = Literal["images", "temporal", "grid"]


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


@dataclass(frozen=True, eq=False)
class VisualSequence:
    """All views shown to the model, in order, and how they were chosen.

    Attributes:
        views: The views, in the order the model sees them.
        layout: ``images`` (each alone), ``temporal`` (frames) or ``grid`` (a global view, then
            rows of tiles left to right).
        grid: (rows, columns) of the tiles; only with layout ``grid``.
        provenance: How the sequence was made.
        left_out: What the policy did not show, counted by reason.

    Raises:
        PolicyError: No views, or a grid whose size is not 1 + rows x columns.
    """

    views: tuple[View, ...]
    layout: Layout = "images"
    grid: tuple[int, int] | None = None
    provenance: Provenance = field(default_factory=Provenance)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "left_out", MappingProxyType(dict(self.left_out)))
        if not self.views:
            raise PolicyError(
                "The policy chose no view.",
                remedy="Widen the policy; a sequence needs one view at least.",
                code="sequence.empty",
            )
        if self.layout not in get_args(Layout):
            raise PolicyError(
                f"There is no layout {self.layout!r}.",
                remedy=f"Use one of {', '.join(get_args(Layout))}.",
                code="sequence.layout",
            )
        if (self.layout == "grid") != (self.grid is not None):
            raise PolicyError(
                "Rows and columns go with the layout 'grid', and only with it.",
                remedy="Pass grid=(rows, columns) with layout='grid'.",
                code="sequence.grid",
            )
        if self.grid is not None and len(self.views) != 1 + self.grid[0] * self.grid[1]:
            raise PolicyError(
                f"A grid of {self.grid[0]} x {self.grid[1]} tiles needs "
                f"{1 + self.grid[0] * self.grid[1]} views; found {len(self.views)}.",
                remedy="Give the global view first, then every tile row by row.",
                code="sequence.grid",
            )

    def __len__(self) -> int:
        return len(self.views)

    def __iter__(self) -> Iterator[View]:
        return iter(self.views)

    def __getitem__(self, index: int) -> View:
        return self.views[index]

    def content_sha256(self) -> str:
        """Return the SHA-256 of sizes and pixels, in order."""
        parts: list[bytes] = []
        for view in self.views:
            parts.append(repr(view.pixels.shape).encode())
            parts.append(np.ascontiguousarray(view.pixels).tobytes())
        return content_hash(parts)
