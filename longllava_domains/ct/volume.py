"""`CTVolume`: proved Hounsfield units at proved places, decoded when they are first needed."""

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longllava_domains.arguments import checked
from longllava_domains.ct.slice_source import SliceStack
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.render import render_sequence
from longllava_domains.html.facts import facts_table
from longllava_domains.visual import VisualSequence


class CTVolume(SliceStack):
    """A CT volume: Hounsfield units as one array, and views of it; made by `open_volume`."""

    @cached_property
    def hu(self) -> NDArray[np.int16]:
        """Hounsfield units, int16 (slices, rows, columns): head, anterior and patient right first.

        Decoded on first access and kept; read-only.

        Raises:
            GeometryError: The slices are on no even grid; `to_sequence` still shows them, with
                ``SlicePolicy(at="acquired")``.
        """
        self._need_grid()
        values = self.source.read(range(self.shape[0]))
        values.flags.writeable = False
        return values

    @checked
    def to_sequence(self, policy: SlicePolicy | None = None) -> VisualSequence:
        """Choose, window and resize slices into views; only the slices shown are decoded.

        Args:
            policy: Which slices and windows; by default every slice in the mediastinal window.

        Raises:
            PolicyError: The policy cannot be followed on this volume.
            GeometryError: The policy shows a grid, and the slices are on none.
        """
        return render_sequence(self, policy or SlicePolicy())

    @checked
    def show(self, *, max_views: int = 20, window: str = "mediastinum") -> Image.Image:
        """Return a contact sheet of slices spread over the volume, as a notebook shows a picture.

        Args:
            max_views: Most slices on the sheet.
            window: A window preset or "width/level".

        Raises:
            PolicyError: The window or the number cannot be followed.
        """
        at: Literal["grid", "acquired"] = "grid" if self.has_grid else "acquired"
        return self.to_sequence(SlicePolicy(windows=(window,), max_views=max_views, at=at)).show()

    def __repr__(self) -> str:
        facts = self._facts()
        return f"CTVolume({facts['size']}, {facts['spacing']}, {facts['read from']})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: geometry and findings of the loader, no identifiers."""
        return facts_table("CTVolume", self._facts())

    def _facts(self) -> dict[str, object]:
        slices, rows, columns = self.shape
        codes = ", ".join(f"{code} ({count})" for code, count in self.report.codes.items())
        even = self.has_grid
        steps = " x ".join(f"{step:.3g}" for step in self.spacing_mm) + " mm" if even else None
        return {
            "size": f"{slices} slices of {columns} x {rows}",
            "spacing": steps or "on no even grid",
            "read from": self.report.source_kind,
            "found by the loader": codes or "nothing to report",
            **self.facts,
        }
