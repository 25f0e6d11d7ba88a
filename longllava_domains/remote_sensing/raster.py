"""`Raster`: an opened scene and its views."""

from collections.abc import Iterator
from typing import Final

from PIL import Image

from longllava_domains.arguments import checked
from longllava_domains.html.facts import facts_table
from longllava_domains.load_report import LoadReport
from longllava_domains.remote_sensing.area import (
    AROUND_PX,
    Area,
    area_window,
    reaches_beyond,
    shifted,
)
from longllava_domains.remote_sensing.diagnostics import Diagnosis, diagnose
from longllava_domains.remote_sensing.georeference import KINDS
from longllava_domains.remote_sensing.mosaic.composite_source import MosaicSource, MosaicTile
from longllava_domains.remote_sensing.scene import Scene
from longllava_domains.remote_sensing.views import sequence
from longllava_domains.remote_sensing.views.chips import CHIP_PX, OVERLAP_PX, Chips
from longllava_domains.remote_sensing.views.policy import GridPolicy, ViewPlan, plan
from longllava_domains.visual import View, VisualSequence
from longllava_domains.visual.strips import Rgb

# What a scene finds out of itself each time.
_REPEATED: Final = (*(f"georeference.{kind}" for kind in KINDS), "orientation.not_north_up")


class Raster(Scene):
    """A scene opened by `open_raster`; a context manager that closes its files."""

    @checked
    def within(self, area: Area, around_px: int = AROUND_PX) -> "Raster":
        """Return the part of the raster around an area of interest, shown as the whole would be.

        Its pixels count from the part's own corner, its map coordinates stay. The whole box around the
        area is shown. Both share their files: closing one closes the other.

        Args:
            area: ``"west,south,east,north"`` or ``"longitude,latitude"`` (or the numbers), GeoJSON as
                text or dictionary, or a path to a GeoJSON file.
            around_px: Side of the part around a point, raster pixels.

        Raises:
            PolicyError: The area is none, or lies outside the raster.
            GeoreferenceError: The raster has no place on Earth.
        """
        window = area_window(self.georeference, (self.width, self.height), area, around_px)
        tile = MosaicTile(self.source, -window.column, -window.row)
        source = MosaicSource([tile], window.width, window.height)
        report = LoadReport(
            self.report.source_kind,
            {code: count for code, count in self.report.codes.items() if code not in _REPEATED},
            {**self.report.numbers, "area_column": window.column, "area_row": window.row},
        )
        if reaches_beyond(self.georeference, (self.width, self.height), area):
            report = report.with_({"area.cut": 1})
        place = shifted(self.georeference, window)
        return Raster(source, place, self.rendering, report, self.origin, self.threads)

    @checked
    def plan(self, policy: GridPolicy | None = None) -> ViewPlan:
        """Say what a policy would show, without reading pixels.

        Raises:
            PolicyError: The policy refuses a raster this large.
        """
        return plan(self.width, self.height, policy or GridPolicy(), self.resolution_m)

    @checked
    def views(self, policy: GridPolicy | None = None) -> Iterator[View]:
        """Yield the global view, then every tile at native resolution, whatever the budget.

        Memory does not grow with the height of the raster. With overviews, or up to 256 MiB of
        tiles, this is one pass over the pixels; a larger raster without overviews takes two,
        because its global view comes first (`tiles_then_global` takes one).

        Raises:
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata.
        """
        return sequence.views(self, policy or GridPolicy())

    @checked
    def tiles_then_global(self, policy: GridPolicy | None = None) -> Iterator[View]:
        """Yield every tile at native resolution, then the global view, in one pass."""
        return sequence.tiles_then_global(self, policy or GridPolicy())

    @checked
    def to_sequence(self, policy: GridPolicy | None = None) -> VisualSequence:
        """Show the raster within a token budget: a global view and a grid of tiles.

        Raises:
            PolicyError: The policy refuses, or splits the raster (see `to_sequences`).
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata.
        """
        return sequence.to_sequence(self, policy or GridPolicy())

    @checked
    def to_sequences(self, policy: GridPolicy | None = None) -> Iterator[VisualSequence]:
        """Show the raster as one sequence per super-tile, each with its own global view.

        Raises:
            PolicyError: The policy refuses.
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata (empty super-tiles are passed over).
        """
        return sequence.to_sequences(self, policy or GridPolicy())

    @checked
    def overview(self, most_px: int = 1600) -> Rgb:
        """Return the whole raster as one picture, painted as its views are: uint8 (H, W, 3).

        Args:
            most_px: Longer side of the picture, at most; a smaller raster is not enlarged.

        Raises:
            DamagedInputError: A block cannot be decoded.
        """
        return sequence.overview(self, most_px)

    @checked
    def chips(self, size_px: int = CHIP_PX, overlap_px: int = OVERLAP_PX) -> Chips:
        """Return overlapping windows at native resolution, read when iterated over.

        `len()` of the result counts them beforehand; `.skipped` lists those that held only nodata.

        Args:
            size_px: Side of a chip, raster pixels.
            overlap_px: Pixels that neighbours share at least.

        Raises:
            PolicyError: An overlap that leaves no step.
        """
        return Chips(self, size_px, overlap_px)

    def diagnose(self) -> Diagnosis:
        """Say what makes the file slow, how long a pass takes, and which command mends it.

        Reads for up to half a second.
        """
        return diagnose(self)

    @checked
    def show(self, policy: GridPolicy | None = None) -> Image.Image:
        """Return a contact sheet of what a model would see, as a notebook shows a picture.

        Raises:
            PolicyError: The policy refuses.
            DamagedInputError: A block cannot be decoded.
        """
        return self.to_sequence(policy).show()

    def __repr__(self) -> str:
        facts = self._facts()
        return f"Raster({facts['size']}, {facts['CRS']}, {facts['resolution']})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        return facts_table("Raster", self._facts())

    def _facts(self) -> dict[str, object]:
        resolution_m = self.resolution_m
        codes = ", ".join(f"{code} ({count})" for code, count in self.report.codes.items())
        return {
            "size": f"{self.width} x {self.height} pixels",
            "CRS": self.crs or "no CRS",
            "resolution": "unknown" if resolution_m is None else f"{resolution_m:.3g} m",
            "acquired": self.origin.acquired,
            "found by the loader": codes or "nothing to report",
        }
