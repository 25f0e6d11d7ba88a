"""Position of a dataset: geotransform, control points or RPC, and the proof that it can be so."""

import math
from typing import Any, Final

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.crs import horizontal_text, parse_crs
from longllava_domains.remote_sensing.georeference import AffineMap, Georeference, PixelMap
from longllava_domains.remote_sensing.io.control_points import ControlMap, gcp_map, spans_date_line

# Control points that stray further are worth a word, and then no georeference at all.
NOTICED_PX: Final = 3.0
_REFUSED_PX: Final = 20.0
# Two turns: rasters from 0 to 360 and from -180 to 540 exist, easting in metres begins far beyond.
_FURTHEST_DEG: Final = 720.0
_ROUNDING_DEG: Final = 1e-6


def georeference(
    dataset: Any, crs: str | None
) -> tuple[Georeference, dict[str, int], dict[str, float]]:
    """Prove where a dataset lies: geotransform first, then control points, then RPC.

    Args:
        dataset: An open rasterio dataset.
        crs: The user's word, which overrides the file's.

    Returns:
        The georeference, and codes and numbers for the report.

    Raises:
        GeoreferenceError: The CRS cannot be read, the geotransform or control points fix no
            place or contradict themselves, or latitudes lie beyond the poles.
    """
    gcps, gcp_crs = dataset.gcps
    numbers: dict[str, float] = {}
    codes: dict[str, int] = {}
    pixel_map: PixelMap | None = None
    size = (int(dataset.width), int(dataset.height))
    text = _crs_text(dataset.crs)
    if not dataset.transform.is_identity:
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        pixel_map = AffineMap(a, b, c, d, e, f)
    elif gcps:
        text = crs if crs is not None else _crs_text(gcp_crs)
        in_degrees = text is not None and parse_crs(text).is_geographic
        pixel_map, miss_px = gcp_map(gcps, size, in_degrees=in_degrees)
        numbers["gcp_residual_px"] = miss_px
        codes |= _judged(miss_px, len(gcps))
        if in_degrees and spans_date_line(gcps):
            codes["gcp.unwrapped"] = 1
    elif dataset.rpcs is not None:
        height_m = float(dataset.rpcs.height_off)
        pixel_map = ControlMap("rpc", dataset.rpcs, size, height_m)
        numbers["rpc_height_m"] = height_m
        numbers |= _height_error(pixel_map, float(dataset.rpcs.height_scale))
        text = "EPSG:4326"  # RPC are defined on WGS 84
    if pixel_map is None:
        return Georeference(None, None), codes, numbers
    text = crs if crs is not None else text
    if text is not None:
        text = horizontal_text(text)
    place = Georeference(pixel_map, text)
    _require_on_globe(place, size)
    return place, codes, numbers


def _judged(miss_px: float, points: int) -> dict[str, int]:
    """Return the code for control points that disagree with each other.

    Raises:
        GeoreferenceError: They disagree by so much that one of them must be wrong.
    """
    if miss_px > _REFUSED_PX:
        raise GeoreferenceError(
            f"The raster's {points} ground control points contradict each other by "
            f"{miss_px:.0f} pixels.",
            remedy="Remove the wrong points, or write a geotransform, for example with gdalwarp.",
            code="raster.gcp_residual",
            facts={"points": points, "residual_px": miss_px},
        )
    return {"gcp.residual": 1} if miss_px > NOTICED_PX else {}


def _height_error(rpc: ControlMap, height_scale_m: float) -> dict[str, float]:
    """Return how far the scene's middle moves where the ground is as high or low as RPC allow."""
    from pyproj import Geod

    middle = (rpc.size[0] / 2, rpc.size[1] / 2)
    here = rpc.forward(*middle)
    moved = []
    for height_m in (rpc.height_m - height_scale_m, rpc.height_m + height_scale_m):
        there = ControlMap("rpc", rpc.control, rpc.size, height_m).forward(*middle)
        moved.append(Geod(ellps="WGS84").inv(*here, *there)[2])
    worst = max(moved)
    known = {"rpc_height_range_m": 2 * height_scale_m, "rpc_horizontal_error_m": worst}
    return known if math.isfinite(worst) else {}


def _require_on_globe(place: Georeference, size: tuple[int, int]) -> None:
    """Refuse degrees that are no latitudes and longitudes.

    The centres of the outermost pixels count: grids of values at the poles reach half a pixel beyond.

    Raises:
        GeoreferenceError: A latitude beyond a pole, or a longitude more than two turns away.
    """
    if place.crs is None or not parse_crs(place.crs).is_geographic:
        return
    degrees = math.degrees(parse_crs(place.crs).geodetic_crs.axis_info[0].unit_conversion_factor)
    right, bottom = size[0] - 0.5, size[1] - 0.5
    corners = [(0.5, 0.5), (right, 0.5), (right, bottom), (0.5, bottom)]
    if place.kind != "affine":  # a polynomial swings beyond its points
        corners = [(size[0] / 2, size[1] / 2)]
    points = [place.pixel_to_map(*corner) for corner in corners]
    furthest = max(abs(y) * degrees for _, y in points)
    widest = max(abs(x) * degrees for x, _ in points)
    if furthest <= 90 + _ROUNDING_DEG and widest <= _FURTHEST_DEG:
        return
    raise GeoreferenceError(
        f"The raster's CRS is in degrees, but its coordinates reach {widest:.6g} east or west and "
        f"{furthest:.6g} north or south.",
        remedy="Name the CRS that the coordinates are in with crs=, or mend a geotransform whose "
        "axes are swapped.",
        code="raster.beyond_poles",
        facts={"longitude": widest, "latitude": furthest},
    )


def _crs_text(crs: Any) -> str | None:
    if not crs:
        return None
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt())
