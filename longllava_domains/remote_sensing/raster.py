"""`Raster`: an opened scene, its place on Earth and its views."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from longllava_domains.load_report import LoadReport
from longllava_domains.provenance import Provenance
from longllava_domains.remote_sensing.georeference import Georeference, Point
from longllava_domains.remote_sensing.io.pixel_source import PixelSource, Rgb
from longllava_domains.remote_sensing.stretch import Painter, Stretch
from longllava_domains.remote_sensing.views.chips import CHIP_PX, OVERLAP_PX, Chips
from longllava_domains.remote_sensing.views.grid import COLOURS, Protocol
from longllava_domains.remote_sensing.views.policy import GridPolicy, Plan, plan
from longllava_domains.remote_sensing.views.tiles import Ground
from longllava_domains.units import MIB

if TYPE_CHECKING:
    from longllava_domains.remote_sensing.diagnostics import Diagnosis
    from longllava_domains.visual import View, VisualSequence


@dataclass(frozen=True)
class Rendering:
    """How stored values become what is shown; the same for the whole scene.

    Attributes:
        stretch: Low and high of each channel, physical units.
        scales: Physical units per stored unit, per channel.
        offsets: Physical value of a stored 0, per channel.
        palette: uint8 (entries, 3), or None.
    """

    stretch: Stretch
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    palette: Rgb | None = None


@dataclass(frozen=True)
class Origin:
    """Where a scene came from; only `hrefs` is ever written down.

    Attributes:
        hrefs: Sources without credentials and queries.
        files: Local files, for the checksum; empty where any source is remote.
        stac_id: Id of the STAC item.
        acquired: When the scene was taken, ISO 8601.
    """

    hrefs: tuple[str, ...]
    files: tuple[str, ...] = ()
    stac_id: str | None = None
    acquired: str | None = None


class Raster:
    """A scene opened by `open_raster`; a context manager that closes its files.

    Args:
        source: Where pixels come from.
        georeference: Where they lie.
        rendering: How they are shown.
        report: What was found on opening.
        origin: Where the scene came from.
        threads: Threads that decode blocks.
    """

    def __init__(
        self,
        source: PixelSource,
        georeference: Georeference,
        rendering: Rendering,
        report: LoadReport,
        origin: Origin,
        threads: int,
    ) -> None:
        self.source = source
        self.georeference = replace(georeference, size=(source.width, source.height))
        self.rendering = rendering
        self.origin = origin
        self.threads = threads
        size = self.ground_size_m
        numbers = {} if size is None else {"column_m": size[0], "row_m": size[1]}
        self.report = report.with_({f"georeference.{georeference.kind}": 1}, numbers)

    def __enter__(self) -> "Raster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close files; sequences and views made before stay usable."""
        self.source.close()

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.source.width

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.source.height

    @property
    def crs(self) -> str | None:
        """Authority code such as ``"EPSG:32618"``, else WKT; None when unknown."""
        return self.georeference.crs

    @property
    def stretch(self) -> Stretch:
        """The mapping to 0..255, the same for every view; reusable on other scenes."""
        return self.rendering.stretch

    def pixel_to_map(self, column: float, row: float) -> Point:
        """Return map (x, y) in the raster's CRS; (0, 0) is the outer corner of the first pixel.

        Raises:
            GeoreferenceError: The raster has no georeference.
        """
        return self.georeference.pixel_to_map(column, row)

    def pixel_to_lonlat(self, column: float, row: float) -> Point:
        """Return WGS 84 (longitude, latitude) in degrees, longitude in [-180, 180).

        Raises:
            GeoreferenceError: No georeference, no CRS, or a place that is not on Earth.
        """
        return self.georeference.pixel_to_lonlat(column, row)

    @cached_property
    def ground_size_m(self) -> Point | None:
        """Geodesic metres that one column and one row span at the centre; None where unknown."""
        step_px = 1.0
        if self.georeference.kind not in ("affine", "none"):
            # Control points are noisy from pixel to pixel; the scale of an eighth is not.
            step_px = max(1.0, min(self.width, self.height) / 8)
        return self.georeference.ground_size_m(self.width / 2, self.height / 2, step_px)

    @property
    def resolution_m(self) -> float | None:
        """Ground metres per pixel at the centre, geometric mean of both axes; None if unknown."""
        size = self.ground_size_m
        return None if size is None else (size[0] * size[1]) ** 0.5

    @property
    def ground(self) -> Ground:
        """What places of views need to know."""
        if self.georeference.kind == "none":
            return Ground(None, None, None)
        return Ground(self.resolution_m, self.crs, self.georeference.pixel_to_map)

    def plan(self, policy: GridPolicy | None = None) -> Plan:
        """Say what a policy would show, without reading pixels.

        Raises:
            PolicyError: The policy refuses a raster this large.
        """
        return plan(self.width, self.height, policy or GridPolicy(), self.resolution_m)

    def painter(self, protocol: Protocol) -> Painter:
        """Return what turns stored values into RGB, nodata in the protocol's colour."""
        rendering = self.rendering
        return Painter(
            rendering.stretch,
            self.source.dtype,
            rendering.scales,
            rendering.offsets,
            fill=COLOURS[protocol][1],
            palette=rendering.palette,
        )

    def views(self, policy: GridPolicy | None = None) -> Iterator["View"]:
        """Yield the global view, then every tile at native resolution, whatever the budget.

        Memory does not grow with the height of the raster. With overviews, or up to 256 MiB of
        tiles, this is one pass over the pixels; a larger raster without overviews takes two,
        because its global view comes first (`tiles_then_global` takes one).

        Raises:
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata.
        """
        from longllava_domains.remote_sensing.views.sequence import views

        return views(self, policy or GridPolicy())

    def tiles_then_global(self, policy: GridPolicy | None = None) -> Iterator["View"]:
        """Yield every tile at native resolution, then the global view, in one pass."""
        from longllava_domains.remote_sensing.views.sequence import tiles_then_global

        return tiles_then_global(self, policy or GridPolicy())

    def to_sequence(self, policy: GridPolicy | None = None) -> "VisualSequence":
        """Show the raster within a token budget: a global view and a grid of tiles.

        Raises:
            PolicyError: The policy refuses, or splits the raster (see `to_sequences`).
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata.
        """
        from longllava_domains.remote_sensing.views.sequence import to_sequence

        return to_sequence(self, policy or GridPolicy())

    def to_sequences(self, policy: GridPolicy | None = None) -> Iterator["VisualSequence"]:
        """Show the raster as one sequence per super-tile, each with its own global view.

        Raises:
            PolicyError: The policy refuses.
            DamagedInputError: A block cannot be decoded.
            NotFoundError: The whole raster is nodata (empty super-tiles are passed over).
        """
        from longllava_domains.remote_sensing.views.sequence import to_sequences

        return to_sequences(self, policy or GridPolicy())

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

    def diagnose(self) -> "Diagnosis":
        """Say what makes the file slow, how long a pass takes, and which command mends it.

        Reads for up to half a second.
        """
        from longllava_domains.remote_sensing.diagnostics import diagnose

        return diagnose(self)

    @cached_property
    def input_sha256(self) -> str | None:
        """SHA-256 of the file (of all files' digests for a mosaic); None for remote sources."""
        digests = []
        for name in self.origin.files:
            with open(name, "rb") as file:
                digest = hashlib.sha256()
                while block := file.read(4 * MIB):
                    digest.update(block)
            digests.append(digest)
        if not digests:
            return None
        if len(digests) == 1:
            return digests[0].hexdigest()
        return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()

    @property
    def provenance(self) -> Provenance:
        """What is recorded of the scene: hrefs, ids, checksum, stretch and the report."""
        entries: dict[str, Any] = {
            "source_href": " ".join(self.origin.hrefs),
            "stac_id": self.origin.stac_id,
            "datetime": self.origin.acquired,
            "input_sha256": self.input_sha256,
        }
        known = {key: value for key, value in entries.items() if value is not None}
        return Provenance(
            domain="remote-sensing",
            source_kind=self.report.source_kind,
            size=[self.width, self.height],
            resolution_m=self.resolution_m,
            stretch=self.stretch.to_json(),
            load_report=self.report.to_json(),
            **known,
        )
