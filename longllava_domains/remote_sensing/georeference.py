"""Position of pixels on Earth: affine, control points, rational polynomials, or none.

Pixel coordinates are (column, row) with (0, 0) at the outer corner of the first pixel, as
GDAL counts them; the centre of that pixel is (0.5, 0.5). Map coordinates are (x, y) in the
raster's CRS, always easting or longitude first.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.crs import parse_crs, transformer

Point = tuple[float, float]

KINDS: Final = ("affine", "gcp", "gcp-tps", "rpc", "none")
"""Ways in which a raster can be placed."""


class PixelMap(Protocol):
    """A smooth map from pixel to map coordinates, and back.

    Guarantees: `backward(forward(p))` returns p within a hundredth of a pixel inside the
    raster. Outside the domain of a projection the coordinates are not finite.
    """

    @property
    def kind(self) -> str:
        """Kind of the map, such as ``"affine"``."""
        ...

    def forward(self, column: float, row: float) -> Point:
        """Return map (x, y)."""
        ...

    def backward(self, x: float, y: float) -> Point:
        """Return pixel (column, row)."""
        ...


@dataclass(frozen=True)
class AffineMap:
    """x = a column + b row + c, y = d column + e row + f; rotation and south-up included.

    Raises:
        GeoreferenceError: The matrix has no inverse or is not finite.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float
    kind: str = "affine"

    def __post_init__(self) -> None:
        determinant = self.a * self.e - self.b * self.d
        if determinant == 0 or not all(map(math.isfinite, (determinant, self.c, self.f))):
            raise GeoreferenceError(
                "The raster's geotransform cannot be inverted.",
                remedy="Write a valid geotransform, for example with gdal_edit.",
                code="raster.geotransform",
                facts={"determinant": determinant},
            )

    def forward(self, column: float, row: float) -> Point:
        """Return map (x, y)."""
        return (
            self.a * column + self.b * row + self.c,
            self.d * column + self.e * row + self.f,
        )

    def backward(self, x: float, y: float) -> Point:
        """Return pixel (column, row)."""
        determinant = self.a * self.e - self.b * self.d
        dx, dy = x - self.c, y - self.f
        return (
            (self.e * dx - self.b * dy) / determinant,
            (self.a * dy - self.d * dx) / determinant,
        )


@dataclass(frozen=True)
class Georeference:
    """The place of a raster, exact both ways, or the plain statement that there is none.

    Attributes:
        pixel_map: How pixels reach map coordinates; None without any georeference.
        crs: Authority code such as ``"EPSG:32618"``, else WKT; None when unknown.
        size: (width, height) of the raster, pixels, by which a longitude is told from its other
            name a whole turn away; None leaves longitudes as they are given.
    """

    pixel_map: PixelMap | None
    crs: str | None
    size: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles carry the three facts, not PROJ's transformers."""
        return {"pixel_map": self.pixel_map, "crs": self.crs, "size": self.size}

    @property
    def kind(self) -> str:
        """``"affine"``, ``"gcp"``, ``"gcp-tps"``, ``"rpc"`` or ``"none"``."""
        return "none" if self.pixel_map is None else self.pixel_map.kind

    def pixel_to_map(self, column: float, row: float) -> Point:
        """Return map (x, y) of a pixel coordinate.

        Raises:
            GeoreferenceError: The raster has none.
        """
        return self._map().forward(column, row)

    def map_to_pixel(self, x: float, y: float) -> Point:
        """Return pixel (column, row) of a map coordinate.

        Raises:
            GeoreferenceError: The raster has none, or the search does not end.
        """
        return self._map().backward(x, y)

    def pixel_to_lonlat(self, column: float, row: float) -> Point:
        """Return WGS 84 longitude in [-180, 180) and latitude, degrees.

        Raises:
            GeoreferenceError: No georeference, no CRS, another planet, or a place off the map.
        """
        x, y = self.pixel_to_map(column, row)
        lon, lat = self._to_lonlat.transform(x, y)
        if not (math.isfinite(lon) and math.isfinite(lat)):
            raise GeoreferenceError(
                "This pixel has no longitude and latitude in the raster's projection.",
                remedy="Ask for a pixel on the Earth's disc, inside the projection's area of use.",
                code="raster.off_earth",
            )
        # Grids of values at the poles have outer corners half a pixel beyond them.
        return (lon + 180) % 360 - 180, min(max(lat, -90.0), 90.0)

    def lonlat_to_pixel(self, lon: float, lat: float) -> Point:
        """Return pixel (column, row) of a WGS 84 longitude and latitude, degrees.

        A raster in degrees may run past 180; of a longitude's names the one nearest to its middle
        holds.

        Raises:
            GeoreferenceError: No georeference or CRS, or a place the projection does not reach.
        """
        x, y = self._to_lonlat.transform(lon, lat, direction="INVERSE")
        if not (math.isfinite(x) and math.isfinite(y)):
            raise GeoreferenceError(
                "This longitude and latitude cannot be reached in the raster's projection.",
                remedy="Pass longitude first, then latitude, inside the projection's area of use.",
                code="raster.off_map",
            )
        return self.map_to_pixel(self._turned(x), y)

    def ground_size_m(self, column: float, row: float, step_px: float = 1.0) -> Point | None:
        """Return the geodesic metres that one column and one row span around a pixel.

        Measured on the ellipsoid of the raster's own CRS (Mars included).

        Returns:
            (metres per column, metres per row); None where metres cannot be known.
        """
        if self.pixel_map is None or self.crs is None:
            return None
        half = step_px / 2
        spans = []
        for dx, dy in ((half, 0.0), (0.0, half)):
            first = self._geodetic(column - dx, row - dy)
            second = self._geodetic(column + dx, row + dy)
            _, _, metres = self._ellipsoid.inv(*first, *second)
            spans.append(metres / step_px)
        if not all(math.isfinite(span) and span > 0 for span in spans):
            return None
        return spans[0], spans[1]

    def heading(self, start: Point, end: Point) -> float | None:
        """Return the geodesic direction from one pixel to another, degrees clockwise from north.

        Returns:
            None where the projection does not reach one of them, or both are one place.
        """
        azimuth, _, metres = self._ellipsoid.inv(*self._geodetic(*start), *self._geodetic(*end))
        return float(azimuth) if math.isfinite(metres) and metres > 0 else None

    def _turned(self, x: float) -> float:
        """Move a longitude by whole turns to within half a turn of the raster's middle."""
        if self.size is None or not self._pyproj_crs.is_geographic:
            return x
        turn = 360 / self._to_geodetic[1]
        width, height = self.size
        middle, _ = self.pixel_to_map(width / 2, height / 2)
        return x + turn * round((middle - x) / turn)

    def _map(self) -> PixelMap:
        if self.pixel_map is None:
            raise GeoreferenceError(
                "This raster has no georeference; only its pixels have coordinates.",
                remedy="Use pixel coordinates, or write a CRS and a geotransform to the file.",
                code="raster.no_georeference",
            )
        return self.pixel_map

    @cached_property
    def _pyproj_crs(self) -> Any:
        return parse_crs(self.crs)

    @cached_property
    def _to_lonlat(self) -> Any:
        return transformer(self._pyproj_crs, "OGC:CRS84")

    @cached_property
    def _ellipsoid(self) -> Any:
        return self._pyproj_crs.geodetic_crs.get_geod()

    @cached_property
    def _to_geodetic(self) -> tuple[Any, float]:
        """The way to the CRS's own longitude and latitude, and degrees per its unit (grads too)."""
        geodetic = self._pyproj_crs.geodetic_crs
        degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
        return transformer(self._pyproj_crs, geodetic), degrees

    def _geodetic(self, column: float, row: float) -> Point:
        transformer, degrees = self._to_geodetic
        lon, lat = transformer.transform(*self.pixel_to_map(column, row))
        return lon * degrees, lat * degrees
