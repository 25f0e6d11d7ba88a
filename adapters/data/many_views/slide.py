"""Slides as pictures of a training row, shown as `PathologyQA` shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.adapters.data.many_views.stored_file import StoredFile
from longllava_domains.adapters.data.pictures import Shape
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.visual import View, VisualSequence

SUFFIXES: Final = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".ome.tif",
                   ".ome.tiff")  # fmt: skip
# A quarter of a packed row, as for scenes.
DEFAULT_TILES: Final = TilePolicy(max_views=64)


@dataclass(frozen=True)
class SlideFile(StoredFile):
    """A pathology slide.

    Attributes:
        policy: How much is shown, at which resolution.
    """

    policy: TilePolicy = DEFAULT_TILES

    def shape(self) -> Shape:
        """Return the views that the policy chooses; where tissue is has to be looked for.

        Raises:
            LongLlavaError: The slide cannot be opened, or shows no tissue.
        """
        shown = self._shown()
        return Shape(len(shown.views), shown.layout, shown.grid)

    def load(self) -> Sequence[View]:
        """Read the fields.

        Raises:
            LongLlavaError: The slide cannot be opened or decoded.
        """
        return self._shown().views

    def _shown(self) -> VisualSequence:
        with open_slide(self.path) as slide:
            return slide.to_sequence(self.policy)
