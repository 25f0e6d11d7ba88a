"""`Scene`: pixels, their place on Earth and how they are shown, below everything that views them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from longllava_domains.arguments import checked
from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.regular_file import Stamp, open_regular, stamp_of
from longllava_domains.load_report import LoadReport
from longllava_domains.provenance import Provenance
from longllava_domains.remote_sensing.compass import compass
from longllava_domains.remote_sensing.georeference import Georeference, Point
from longllava_domains.remote_sensing.io.opened_file import Acquired
from longllava_domains.remote_sensing.io.pixel_source import PixelSource
from longllava_domains.remote_sensing.notices import notices_of
from longllava_domains.remote_sensing.stretch import Painter, Stretch
from longllava_domains.units import MIB
from longllava_domains.visual import MapPlace
from longllava_domains.visual.strips import Rgb


def _stamps(names: tuple[str, ...]) -> list[Stamp | None]:
    """Return the stamp of each file, None for one that is gone."""
    stamps: list[Stamp | None] = []
    for name in names:
        try:
            with open_regular(name) as file:
                stamps.append(stamp_of(file))
        except OSError:
            stamps.append(None)
    return stamps


@dataclass(frozen=True)
class Rendering:
    """Conversion of stored values to what is shown; the same for the whole scene.

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
class SceneOrigin:
    """Origin of a scene; only `hrefs` is ever written down.

    Attributes:
        hrefs: Sources without credentials and queries.
        files: Local files, for the checksum; empty where any source is remote.
        stac_id: Id of the STAC item.
        acquired: When the scene was taken.
    """

    hrefs: tuple[str, ...]
    files: tuple[str, ...] = ()
    stac_id: str | None = None
    acquired: Acquired = field(default_factory=Acquired)


@dataclass(frozen=True)
class Ground:
    """Facts of the raster that a place needs.

    Attributes:
        resolution_m: Ground metres per raster pixel; None where unknown.
        crs: Authority code or WKT; None without a georeference.
        pixel_to_map: The raster's own; None without a georeference.
        north_deg: Of north, clockwise from the top; None where unknown.
    """

    resolution_m: float | None
    crs: str | None
    pixel_to_map: Callable[[float, float], tuple[float, float]] | None
    north_deg: float | None = None

    def place(
        self, role: str, window: tuple[float, float, float, float], factor: float
    ) -> MapPlace:
        """Return the place of a view.

        Args:
            role: ``"global"``, ``"tile"`` or ``"chip"``.
            window: Column, row, width, height in raster pixels.
            factor: Raster pixels per view pixel, geometric mean of both axes.
        """
        resolution_m = None if self.resolution_m is None else self.resolution_m * factor
        return MapPlace(
            *window, role, resolution_m, self.crs, self.pixel_to_map, north_deg=self.north_deg
        )


class Scene:
    """An opened scene; a context manager that closes its files.

    Args:
        source: Where pixels come from.
        georeference: Where they lie.
        rendering: How they are shown.
        report: What was found on opening.
        origin: Where the scene came from.
        threads: Threads that decode blocks.

    Attributes:
        report: What was found.
        compass: Where north is in the views; None where nothing tells.
    """

    def __init__(
        self,
        source: PixelSource,
        georeference: Georeference,
        rendering: Rendering,
        report: LoadReport,
        origin: SceneOrigin,
        threads: int,
    ) -> None:
        self.source = source
        self.georeference = replace(georeference, size=(source.width, source.height))
        self.rendering = rendering
        self.origin = origin
        self.threads = threads
        self._seen = _stamps(origin.files)
        size = self.ground_size_m
        numbers = {} if size is None else {"column_m": size[0], "row_m": size[1]}
        codes = {f"georeference.{georeference.kind}": 1}
        self.compass = compass(self.georeference, (source.width, source.height))
        if self.compass is not None and not self.compass.is_north_up:
            codes["orientation.not_north_up"] = 1
            numbers["north_deg"] = self.compass.north_deg
        self.report = report.with_(codes, numbers)

    def __enter__(self) -> Self:
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

    @checked
    def pixel_to_map(self, column: float, row: float) -> Point:
        """Return map (x, y) in the raster's CRS; (0, 0) is the outer corner of the first pixel.

        Raises:
            GeoreferenceError: The raster has no georeference.
        """
        return self.georeference.pixel_to_map(column, row)

    @checked
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
        """Facts of the raster that places of views need."""
        if self.georeference.kind == "none":
            return Ground(None, None, None)
        north_deg = None if self.compass is None else self.compass.north_deg
        return Ground(self.resolution_m, self.crs, self.georeference.pixel_to_map, north_deg)

    @property
    def notices(self) -> list[str]:
        """Notices for a reader of any answer about the scene."""
        return notices_of(self.report.codes)

    def painter(self, fill: tuple[int, int, int]) -> Painter:
        """Return what turns stored values into RGB, with `fill` where there is no data."""
        rendering = self.rendering
        return Painter(
            rendering.stretch,
            self.source.dtype,
            rendering.scales,
            rendering.offsets,
            fill=fill,
            palette=rendering.palette,
        )

    @cached_property
    def input_sha256(self) -> str | None:
        """SHA-256 of the file (of all files' digests for a mosaic); None for remote sources.

        Raises:
            DamagedInputError: A file changed since it was opened.
        """
        if _stamps(self.origin.files) != self._seen:
            raise DamagedInputError(
                "A raster file changed after it was opened.",
                remedy="Let nothing write to the input meanwhile, and open it again.",
                code="input.changed",
            )
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
        """Record of the scene: hrefs, ids, checksum, stretch and the report."""
        entries: dict[str, Any] = {
            "source_href": " ".join(self.origin.hrefs),
            "stac_id": self.origin.stac_id,
            "datetime": self.origin.acquired.time,
            "start_datetime": self.origin.acquired.start,
            "end_datetime": self.origin.acquired.end,
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
            **({"notices": self.notices} if self.notices else {}),
            **known,
        )
