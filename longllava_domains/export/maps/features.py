"""The properties of features in every map file: one row per detection or footprint."""

from typing import TYPE_CHECKING, Any, Final

from longllava_domains.boxes import SCORE_KIND
from longllava_domains.errors import OutputError
from longllava_domains.export.maps.globe import within_globe
from longllava_domains.remote_sensing.crs import parse_crs
from longllava_domains.remote_sensing.detections.detections import Detections
from longllava_domains.remote_sensing.detections.polygons import Ring, lonlat_ring, map_ring

if TYPE_CHECKING:
    import geopandas
    from shapely.geometry import MultiPolygon, Polygon

DETECTIONS: Final = "detections"
FOOTPRINTS: Final = "footprints"

FOOTPRINT_SEGMENTS: Final = 32
"""Into how many pieces the edge of a footprint is cut at most."""

_COMMON_TYPES: Final = {
    "resolution_m": "float64",
    "view_id": "string",
    "datetime": "string",
    "start_datetime": "string",
    "end_datetime": "string",
    "model": "string",
    "adapter": "string",
    "prompt_sha256": "string",
    "demo": "bool",
    "notice": "string",
}
DETECTION_TYPES: Final = {
    "id": "int64",
    "class": "string",
    "score": "float64",
    "score_kind": "string",
    "angle_deg": "float64",
    "pieces": "int64",
    **_COMMON_TYPES,
}
FOOTPRINT_TYPES: Final = {
    "id": "int64",
    "status": "string",
    "reason": "string",
    "boxes": "int64",
    "problems": "int64",
    "incomplete": "bool",
    **_COMMON_TYPES,
}
"""Column -> pandas type, in the order of the columns."""


def detection_rows(findings: Detections) -> list[dict[str, Any]]:
    """Return the properties of every detection, keys as in `DETECTION_TYPES`."""
    return [
        {
            "id": number,
            "class": found.name,
            "score": found.score,
            "score_kind": None if found.score is None else SCORE_KIND,
            "angle_deg": found.angle_deg,
            "pieces": found.pieces,
            "resolution_m": found.resolution_m,
            "view_id": found.view_id,
            **_made_by(findings),
        }
        for number, found in enumerate(findings.detections, 1)
    ]


def footprint_rows(findings: Detections) -> list[dict[str, Any]]:
    """Return the properties of every view's footprint, keys as in `FOOTPRINT_TYPES`."""
    return [
        {
            "id": number,
            "status": chip.status,
            "reason": chip.reason,
            "boxes": chip.boxes,
            "problems": sum(chip.problems.values()),
            "incomplete": chip.incomplete,
            "resolution_m": chip.place.resolution_m,
            "view_id": chip.view_id,
            **_made_by(findings),
        }
        for number, chip in enumerate(findings.chips, 1)
    ]


def _made_by(findings: Detections) -> dict[str, Any]:
    made = findings.provenance
    return {
        "datetime": made.get("datetime"),
        "start_datetime": made.get("start_datetime"),
        "end_datetime": made.get("end_datetime"),
        "model": made.get("model"),
        "adapter": made.get("adapter"),
        "prompt_sha256": made.get("prompt_sha256"),
        "demo": bool(made.get("demo", False)),
        "notice": " ".join(findings.notices),
    }


def require_mappable(findings: Detections, kind: str) -> None:
    """Refuse findings without map coordinates, or with a class that no file can spell.

    Raises:
        OutputError: The scene has no georeference (pixel coordinates are offered instead), or a
            name is not Unicode.
    """
    if any(chip.place.pixel_to_map is None or chip.place.crs is None for chip in findings.chips):
        raise OutputError(
            f"The scene has no georeference, and a {kind} file holds places on Earth.",
            remedy="Save the pixel coordinates with to_json(), or georeference the scene.",
            code="export.no_georeference",
        )
    names = [findings.category, *(found.name for found in findings.detections)]
    if any(_has_half_surrogate(name) for name in names):
        raise OutputError(
            f"A class has a name that is not Unicode, and a {kind} file is.",
            remedy="Decode the name with its real encoding before looking for it.",
            code="export.unicode",
        )


def _has_half_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def detection_rings(findings: Detections, *, in_lonlat: bool) -> list[Ring | None]:
    """Return the outline of every detection, in WGS 84 degrees or in the scene's CRS."""
    return [found.ring_lonlat() if in_lonlat else found.ring_map() for found in findings.detections]


def footprint_rings(findings: Detections, *, in_lonlat: bool) -> list[Ring | None]:
    """Return the outline of every view, in WGS 84 degrees or in the scene's CRS."""
    ring = lonlat_ring if in_lonlat else map_ring
    return [
        ring(chip.place, findings.outline(chip), segments=FOOTPRINT_SEGMENTS)
        for chip in findings.chips
    ]


def frames(findings: Detections) -> dict[str, "geopandas.GeoDataFrame"]:
    """Return both layers as tables in the scene's CRS: layer name -> geopandas frame."""
    return {
        DETECTIONS: _frame(
            detection_rows(findings),
            detection_rings(findings, in_lonlat=False),
            DETECTION_TYPES,
            findings.scene.crs,
        ),
        FOOTPRINTS: _frame(
            footprint_rows(findings),
            footprint_rings(findings, in_lonlat=False),
            FOOTPRINT_TYPES,
            findings.scene.crs,
        ),
    }


def _frame(
    rows: list[dict[str, Any]],
    rings: list[Ring | None],
    types: dict[str, str],
    crs: str | None,
) -> "geopandas.GeoDataFrame":
    import geopandas

    columns = {name: [row[name] for row in rows] for name in types}
    in_degrees = is_in_degrees(crs)
    outlines = [None if ring is None else _outline(ring, in_degrees=in_degrees) for ring in rings]
    return geopandas.GeoDataFrame(columns, geometry=outlines, crs=crs).astype(types)


def is_in_degrees(crs: str | None) -> bool:
    """Return whether a CRS has longitudes and latitudes in degrees."""
    if crs is None:
        return False
    geographic = parse_crs(crs)
    return bool(geographic.is_geographic and geographic.axis_info[0].unit_name == "degree")


def _outline(ring: Ring, *, in_degrees: bool) -> "Polygon | MultiPolygon":
    """Return a polygon; longitudes beyond 180 are outside of every CRS, so it is cut there."""
    from shapely.geometry import MultiPolygon, Polygon

    parts = within_globe(ring) if in_degrees else [ring]
    return Polygon(parts[0]) if len(parts) == 1 else MultiPolygon([Polygon(part) for part in parts])
