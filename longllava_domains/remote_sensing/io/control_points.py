"""Ground control points and rational polynomials: GDAL's transformers, inverted exactly.

GDAL fits the way from map to pixel separately from the way there (control points) or stops
iterating early (RPC), so its two directions disagree. Here only the way from pixel to map is
GDAL's; the way back is found on it by Newton's method.
"""

import math
import threading
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.georeference import Point
from longllava_domains.remote_sensing.io.gdal import gdal_errors

_NEWTON_STEPS = 60
_NEWTON_PX = 1e-6
# A thin-plate spline solves a dense system: 1000 points are 0.1 s, 5000 are half a minute.
_SPLINE_POINTS = 1000
_TOLERATED_PX = 0.25
# A polynomial that misses by more is checked by splines, where there are points enough to leave out.
_TRUSTED_PX = 3.0
_FOLDED_POINTS = 40
_FOLDS = 10

_UNSHARED = ("_transformer", "_lock")


class ControlMap:
    """Pixel to map through GDAL's control point or RPC transformer.

    Args:
        kind: ``"gcp"`` (polynomial), ``"gcp-tps"`` (thin-plate spline) or ``"rpc"``.
        control: rasterio ground control points, or an RPC.
        size: (width, height) of the raster, pixels; the search for a way back starts inside.
        height_m: RPC only: ellipsoidal height assumed for every pixel.
    """

    def __init__(
        self, kind: str, control: Any, size: tuple[int, int], height_m: float = 0.0
    ) -> None:
        self.kind = kind
        self.control = control
        self.size = size
        self.height_m = height_m
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """GDAL's transformer stays behind; a copy builds its own."""
        return {key: value for key, value in self.__dict__.items() if key not in _UNSHARED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give the copy a lock of its own."""
        self.__dict__.update(state, _lock=threading.Lock())

    @cached_property
    def _transformer(self) -> Any:
        from rasterio.transform import GCPTransformer, RPCTransformer

        if self.kind == "rpc":
            return RPCTransformer(self.control, RPC_PIXEL_ERROR_THRESHOLD=1e-4)
        return GCPTransformer(self.control, tps=self.kind == "gcp-tps")

    def forward(self, column: float, row: float) -> Point:
        """Return map (x, y)."""
        with self._lock:  # GDAL's transformers keep state between calls
            x, y = self._transformer.xy(float(row), float(column), zs=self.height_m, offset="ul")
        return float(x), float(y)

    def backward(self, x: float, y: float) -> Point:
        """Return pixel (column, row), by Newton's method from the nearest of a few starts.

        Raises:
            GeoreferenceError: The search does not end on a pixel that maps to (x, y).
        """
        width, height = self.size
        starts = [(width * u, height * v) for v in (0.5, 0.1, 0.9) for u in (0.5, 0.1, 0.9)]
        starts.sort(key=lambda start: math.dist(self.forward(*start), (x, y)))
        for start in starts[:3]:
            found = self._newton(start, x, y)
            if found is not None:
                return found
        raise GeoreferenceError(
            "No pixel of the raster's control points maps to these coordinates.",
            remedy="Ask for coordinates inside the raster's footprint.",
            code="raster.off_map",
        )

    def _newton(self, start: Point, x: float, y: float) -> Point | None:
        column, row = start
        limit = 2.0 * max(self.size)
        for _ in range(_NEWTON_STEPS):
            here_x, here_y = self.forward(column, row)
            # Central differences over one pixel: the maps are smooth far beyond that.
            right, left = self.forward(column + 0.5, row), self.forward(column - 0.5, row)
            below, above = self.forward(column, row + 0.5), self.forward(column, row - 0.5)
            a, d = right[0] - left[0], right[1] - left[1]
            b, e = below[0] - above[0], below[1] - above[1]
            determinant = a * e - b * d
            if determinant == 0 or not math.isfinite(determinant):
                return None
            step_column = (e * (x - here_x) - b * (y - here_y)) / determinant
            step_row = (a * (y - here_y) - d * (x - here_x)) / determinant
            column, row = column + step_column, row + step_row
            if abs(step_column) < _NEWTON_PX and abs(step_row) < _NEWTON_PX:
                return column, row
            if abs(column) > limit or abs(row) > limit:
                return None
        return None


def gcp_map(
    gcps: Sequence[Any], size: tuple[int, int], *, in_degrees: bool = False
) -> tuple[ControlMap, float]:
    """Choose the polynomial, or the spline where the polynomial misses its own points.

    Args:
        gcps: rasterio ground control points.
        size: (width, height), pixels.
        in_degrees: Their x are longitudes; those on both sides of 180 are made to run on.

    Returns:
        The map, and how far its points stray from it, pixels: the largest miss of the polynomial, or
        of splines through the other points where that is smaller.

    Raises:
        GeoreferenceError: Fewer than three points, or points that lie on a line.
    """
    if len(gcps) < 3:
        raise _unusable(len(gcps))
    if in_degrees:
        gcps = _unwrapped(gcps)
    polynomial = ControlMap("gcp", gcps, size)
    residual_px = _residual_px(polynomial)
    if residual_px <= _TOLERATED_PX or len(gcps) > _SPLINE_POINTS:
        return polynomial, residual_px
    spline = ControlMap("gcp-tps", gcps, size)
    _residual_px(spline)  # refuses points that fix no place
    # A spline meets its points, wrong ones too: only points it was not given tell how far they stray.
    if residual_px > _TRUSTED_PX and len(gcps) >= _FOLDED_POINTS:
        residual_px = min(residual_px, _left_out_px(gcps, size))
    return spline, residual_px


def spans_date_line(gcps: Sequence[Any]) -> bool:
    """Return whether longitudes lie on both sides of 180 degrees, written as two ranges."""
    longitudes = sorted(point.x for point in gcps)
    return longitudes[-1] - longitudes[0] > 180 and _widest_gap(longitudes)[0] > 180


def _widest_gap(ascending: Sequence[float]) -> tuple[float, float]:
    """Return the width of the widest gap between sorted longitudes, and where it ends."""
    gaps = [(after - before, after) for before, after in pairwise(ascending)]
    return max(gaps)


def _unwrapped(gcps: Sequence[Any]) -> Sequence[Any]:
    """Return points whose longitudes run on across 180, as 179, 180, 181."""
    from rasterio.control import GroundControlPoint

    if not spans_date_line(gcps):
        return gcps
    _, east = _widest_gap(sorted(point.x for point in gcps))
    return [
        GroundControlPoint(
            row=point.row, col=point.col, x=point.x + (360 if point.x < east else 0), y=point.y
        )
        for point in gcps
    ]


def _left_out_px(gcps: Sequence[Any], size: tuple[int, int]) -> float:
    """Return the largest miss of splines at points that they were not given.

    Wide swaths bend more than a polynomial does, but smoothly: their points foretell each other.
    """
    order = np.random.default_rng(0).permutation(len(gcps)).tolist()
    worst = 0.0
    for fold in range(_FOLDS):
        out = set(order[fold::_FOLDS])
        spline = ControlMap("gcp-tps", [p for i, p in enumerate(gcps) if i not in out], size)
        worst = max(worst, _residual_px(spline, [gcps[i] for i in out]))
    return worst


def _residual_px(candidate: ControlMap, points: Sequence[Any] | None = None) -> float:
    """Return the largest miss at a control point, measured in pixels of the map's own scale."""
    gcps = candidate.control if points is None else points
    try:
        misses = [
            math.dist(candidate.forward(point.col, point.row), (point.x, point.y)) for point in gcps
        ]
    except gdal_errors():
        raise _unusable(len(gcps)) from None
    width, height = candidate.size
    span = math.dist(candidate.forward(0, 0), candidate.forward(width, height))
    pixel = span / math.hypot(width, height)
    if pixel == 0 or not math.isfinite(pixel):
        raise _unusable(len(gcps))
    return max(misses) / pixel


def _unusable(count: int) -> GeoreferenceError:
    return GeoreferenceError(
        f"The raster's {count} ground control points fix no place.",
        remedy="Give at least three points that do not lie on one line.",
        code="raster.gcp",
        facts={"points": count},
    )
