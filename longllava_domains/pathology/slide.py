"""`Slide`: an opened slide and its views."""

from collections.abc import Sequence
from functools import cached_property

from PIL import Image

from longllava_domains.arguments import checked
from longllava_domains.html.facts import facts_table
from longllava_domains.pathology.pyramid import SlidePyramid
from longllava_domains.pathology.regions import Region
from longllava_domains.pathology.views.policy import TilePolicy
from longllava_domains.pathology.views.sequence import to_sequence
from longllava_domains.pathology.views.tissue import TissueMask, find_tissue
from longllava_domains.visual import VisualSequence


class Slide(SlidePyramid):
    """A slide opened by `open_slide`; a context manager that closes its files."""

    @cached_property
    def tissue(self) -> TissueMask:
        """Tissue mask, found on an overview; see `views.tissue`."""
        return find_tissue(self)

    @checked
    def to_sequence(
        self,
        policy: TilePolicy | None = None,
        *,
        regions: Sequence[Region | tuple[int, int, int, int]] = (),
        tissue: TissueMask | Region | None = None,
    ) -> VisualSequence:
        """Show the slide, or regions of it, within a budget of views.

        Args:
            policy: How; `TilePolicy()` by default.
            regions: Level-0 boxes (x, y, width, height) or what `region` returned; all that was
                scanned by default. Two regions are compared in one question: the views of the
                first come before those of the second.
            tissue: Where tissue is, by the user's word; found on an overview by default.

        Raises:
            PolicyError: The policy cannot be followed, or a region lies outside the slide.
            NotFoundError: No tissue.
            DamagedInputError: The tiles of every view are damaged.
        """
        chosen = policy or TilePolicy()
        known = self.tissue if tissue is None and chosen.uses_tissue else tissue
        return to_sequence(self, chosen, regions, known)

    @checked
    def show(self, policy: TilePolicy | None = None) -> Image.Image:
        """Return a contact sheet of what a model would see, as a notebook shows a picture.

        Raises:
            PolicyError: The policy cannot be followed.
            NotFoundError: No tissue.
        """
        return self.to_sequence(policy).show()

    def __repr__(self) -> str:
        facts = self._facts()
        return f"Slide({facts['size']}, {facts['resolution']}, {facts['levels']} levels)"

    def _repr_html_(self) -> str:
        """Return a table for a notebook: numbers and decisions, no name, no label."""
        return facts_table("Slide", self._facts())

    def _facts(self) -> dict[str, object]:
        codes = ", ".join(f"{code} ({count})" for code, count in self.report.codes.items())
        return {
            "size": f"{self.size[0]} x {self.size[1]} pixels",
            "resolution": f"{self.mpp:.4g} microns per pixel",
            "levels": len(self.levels),
            "found by the loader": codes or "nothing to report",
        }
