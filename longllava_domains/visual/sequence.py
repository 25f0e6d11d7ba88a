"""`VisualSequence`: what a loader hands over and a model looks at, immutable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from longllava_domains.arguments import checked_fields
from longllava_domains.errors import PolicyError
from longllava_domains.html.facts import facts_table
from longllava_domains.provenance import Provenance
from longllava_domains.units import content_hash
from longllava_domains.visual.contact_sheet import contact_sheet
from longllava_domains.visual.view import View

Layout = Literal["images", "temporal", "grid"]


@checked_fields
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process: a read-only mapping cannot be pickled."""
        left_out = dict(self.left_out)
        return VisualSequence, (self.views, self.layout, self.grid, self.provenance, left_out)

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

    def show(self, *, columns: int | None = None, cell_px: int = 224) -> Image.Image:
        """Return a contact sheet of all views, as a notebook shows a picture.

        Args:
            columns: Views in a row; by default as wide as high, or the grid's own.
            cell_px: Longer side of a view on the sheet.

        Raises:
            PolicyError: Columns or a cell size below 1, or a sheet above 89 million pixels.
        """
        return contact_sheet(self, columns=columns, cell_px=cell_px)

    def __repr__(self) -> str:
        facts = ", ".join(f"{value} {name}" for name, value in self._facts().items())
        return f"VisualSequence({facts})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: counts and sizes, never pixels or identifiers."""
        return facts_table("VisualSequence", self._facts())

    def _facts(self) -> dict[str, object]:
        rows, columns = self.views[0].pixels.shape[:2]
        layout = self.layout if self.grid is None else f"grid of {self.grid[0]} x {self.grid[1]}"
        return {
            "views": len(self),
            "pixels each": f"{columns} x {rows}",
            "layout": layout,
            "left out": sum(self.left_out.values()),
        }
