"""`CTVolume`: proved Hounsfield units at proved places, decoded when they are first needed."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.slice_source import SliceStack
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.render import render_sequence
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

    def to_sequence(self, policy: SlicePolicy | None = None) -> VisualSequence:
        """Choose, window and resize slices into views; only the slices shown are decoded.

        Args:
            policy: Which slices and windows; by default every slice in the mediastinal window.

        Raises:
            PolicyError: The policy cannot be followed on this volume.
            GeometryError: The policy shows a grid, and the slices are on none.
        """
        return render_sequence(self, policy or SlicePolicy())
