"""Place of a view in its source: a CT slice, a region of a slide, a window of a raster, an image."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from longllava_domains.arguments import checked_fields


@checked_fields
@dataclass(frozen=True, slots=True)
class SlicePlace:
    """One slice, or a slab of slices, of a CT volume.

    Attributes:
        index: Slice number in the volume, 0 at the head.
        z_mm: Position of the slice centre along the slice normal, RAS millimetres.
        thickness_mm: Extent shown along the normal.
        window: Name of the display window, such as ``"lung"``.
        instances: Short hashes of the source instances, never their UIDs.
        synthetic: True where the slice was interpolated to repair a gap.
    """

    index: int
    z_mm: float
    thickness_mm: float
    window: str
    instances: tuple[str, ...] = ()
    synthetic: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the place as JSON."""
        return {
            "kind": "slice",
            "index": self.index,
            "z_mm": self.z_mm,
            "thickness_mm": self.thickness_mm,
            "window": self.window,
            "instances": list(self.instances),
            "synthetic": self.synthetic,
        }


@checked_fields
@dataclass(frozen=True, slots=True)
class SlidePlace:
    """A region of a pathology slide, in level-0 pixels.

    Attributes:
        x: Left edge, level-0 pixels.
        y: Top edge, level-0 pixels.
        width: Level-0 pixels.
        height: Level-0 pixels.
        level: Pyramid level that was read.
        mpp: Microns per pixel of the view as shown.
    """

    x: int
    y: int
    width: int
    height: int
    level: int
    mpp: float

    def to_json(self) -> dict[str, Any]:
        """Return the place as JSON."""
        return {"kind": "slide", **{name: getattr(self, name) for name in self.__slots__}}


@checked_fields
@dataclass(frozen=True, slots=True)
class ImagePlace:
    """The whole of an ordinary image, without a place in a body or on a map.

    Attributes:
        width: Pixels of the image.
        height: Pixels of the image.
    """

    width: int
    height: int

    def to_json(self) -> dict[str, Any]:
        """Return the place as JSON."""
        return {"kind": "image", "width": self.width, "height": self.height}


@checked_fields
@dataclass(frozen=True, slots=True)
class MapPlace:
    """A window of a raster.

    Attributes:
        column: Left edge in raster pixels; negative where padding was added.
        row: Top edge in raster pixels; negative where padding was added.
        width: Raster pixels covered, padding included.
        height: Raster pixels covered, padding included.
        role: ``"global"``, ``"tile"`` or ``"chip"``.
        resolution_m: Ground metres per view pixel, None without a georeference.
        crs: Authority code or WKT of the map coordinates, None without a georeference.
        pixel_to_map: Maps raster (column, row), outer corner (0, 0), to map (x, y).
        north_deg: Direction of north, degrees clockwise from the top of the view; None if unknown.
        acquired: When the view was taken, ISO 8601; only where views of several dates stand together.
    """

    column: float
    row: float
    width: float
    height: float
    role: str
    resolution_m: float | None
    crs: str | None
    pixel_to_map: Callable[[float, float], tuple[float, float]] | None = field(
        default=None, compare=False, repr=False
    )
    north_deg: float | None = field(default=None, compare=False)
    acquired: str | None = None

    def view_to_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Map fractions of the view (0 to 1, from its top left) to raster (column, row)."""
        return self.column + x * self.width, self.row + y * self.height

    def to_json(self) -> dict[str, Any]:
        """Return the place as JSON, with the map coordinates of its four corners."""
        corners = [self.view_to_pixel(x, y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
        to_map = self.pixel_to_map
        return {
            "kind": "map",
            "window": [self.column, self.row, self.width, self.height],
            "role": self.role,
            "resolution_m": self.resolution_m,
            "north_deg": self.north_deg,
            **({} if self.acquired is None else {"acquired": self.acquired}),
            "crs": self.crs,
            "corners": None if to_map is None else [list(to_map(*corner)) for corner in corners],
        }


Place = SlicePlace | SlidePlace | MapPlace | ImagePlace
