"""GeoJSON (RFC 7946): longitude and latitude, right-hand winding, split at the antimeridian."""

import json
from pathlib import Path
from typing import Any, Final

from longllava_domains.boxes import polygon_area
from longllava_domains.export.maps.features import (
    FOOTPRINTS,
    detection_rings,
    detection_rows,
    footprint_rings,
    footprint_rows,
    require_mappable,
)
from longllava_domains.export.maps.globe import within_globe
from longllava_domains.files import new_file
from longllava_domains.provenance import SCENE_NOTICE
from longllava_domains.remote_sensing.detections.detections import Detections
from longllava_domains.remote_sensing.detections.polygons import Ring

# A millimetre on the ground: half a pixel of the finest aerial image is 10 mm.
_DECIMALS: Final = 8


def write_geojson(path: str | Path, findings: Detections, *, overwrite: bool = False) -> None:
    """Write the detections, and beside them the footprints of the views.

    GeoJSON has no layers, so ``ships.geojson`` comes with ``ships.footprints.geojson``.

    Args:
        path: Where the detections go.
        findings: What to write.
        overwrite: Replace files that are already there.

    Raises:
        OutputError: The scene has no georeference, a file exists or cannot be written.
        GeoreferenceError: The CRS cannot be related to longitude and latitude.
    """
    require_mappable(findings, "GeoJSON")
    detections = feature_collection(
        findings, detection_rows(findings), detection_rings(findings, in_lonlat=True)
    )
    footprints = feature_collection(
        findings, footprint_rows(findings), footprint_rings(findings, in_lonlat=True)
    )
    second = beside(path, FOOTPRINTS)
    with (
        new_file(path, overwrite=overwrite) as detection_file,
        new_file(second, overwrite=overwrite) as footprint_file,
    ):
        detection_file.write_text(_spelled(detections), encoding="utf-8")
        footprint_file.write_text(_spelled(footprints), encoding="utf-8")


def beside(path: str | Path, layer: str) -> Path:
    """Return the name of a second layer's file: ``ships.geojson``, ``ships.footprints.geojson``."""
    path = Path(path)
    return path.with_name(f"{path.stem}.{layer}{path.suffix}")


def feature_collection(
    findings: Detections, rows: list[dict[str, Any]], rings: list[Ring | None]
) -> dict[str, Any]:
    """Return a FeatureCollection with the notice and provenance as foreign members (section 6.1).

    Args:
        findings: Whose provenance is written.
        rows: Properties of each feature; ``id`` becomes the feature's own.
        rings: Outline of each feature in degrees, None where it is not known (section 3.2).
    """
    return {
        "type": "FeatureCollection",
        "notice": SCENE_NOTICE,
        "notices": list(findings.notices),
        "provenance": findings.provenance.to_json(),
        "features": [
            {
                "type": "Feature",
                "id": row["id"],
                "geometry": None if ring is None else geometry(ring),
                "properties": {key: value for key, value in row.items() if key != "id"},
            }
            for row, ring in zip(rows, rings, strict=True)
        ],
    }


def geometry(ring: Ring) -> dict[str, Any]:
    """Return a Polygon, or a MultiPolygon cut at the antimeridian (section 3.1.9).

    Args:
        ring: Degrees; longitudes may run beyond 180.
    """
    parts = [[_closed(part)] for part in within_globe(ring)]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _closed(ring: Ring) -> list[list[float]]:
    """Return the positions of a linear ring: counter-clockwise, the first repeated at the end."""
    ordered = ring if polygon_area(ring) >= 0 else ring[::-1]
    rounded = [[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in ordered]
    return [*rounded, rounded[0]]


def _spelled(collection: dict[str, Any]) -> str:
    """Spell a collection with one feature on a line, so that files can be compared."""
    members = {key: value for key, value in collection.items() if key != "features"}
    head = json.dumps(members, ensure_ascii=False)[:-1]
    lines = ",\n".join(json.dumps(f, ensure_ascii=False) for f in collection["features"])
    return f'{head}, "features": [\n{lines}\n]}}\n'
