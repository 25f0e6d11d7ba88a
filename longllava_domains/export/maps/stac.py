"""A STAC item that says what was derived from which scene, when, and by which model."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import OutputError
from longllava_domains.export.maps.features import FOOTPRINT_SEGMENTS, require_mappable
from longllava_domains.export.maps.geojson import geometry
from longllava_domains.export.maps.globe import globe_box
from longllava_domains.files import write_text
from longllava_domains.provenance import SCENE_NOTICE
from longllava_domains.remote_sensing.detections.detections import Detections
from longllava_domains.remote_sensing.detections.polygons import lonlat_ring, view_ring

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}

_LONG_AGO: Final = "0001-01-01"
_EXTENSIONS: Final = (
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)


def write_stac_item(
    path: str | Path,
    findings: Detections,
    *,
    assets: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Write a STAC item (version 1.0) for the findings.

    Args:
        path: Where the item goes; its stem becomes the item's id.
        findings: What it describes.
        assets: Files saved of these findings; linked relative to the item, with checksums.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: The scene has no georeference, an asset is missing or of an unknown kind,
            the file exists or cannot be written.
        GeoreferenceError: The CRS cannot be related to longitude and latitude.
    """
    path = Path(path)
    item = stac_item(path.stem, findings)
    item["assets"] = dict(_asset(Path(file), path.parent) for file in assets)
    write_text(path, json.dumps(item, indent=2, ensure_ascii=False) + "\n", overwrite=overwrite)


def stac_item(item_id: str, findings: Detections) -> dict[str, Any]:
    """Return the item without assets; `derived_from` links lead to the scene's sources.

    Args:
        item_id: Id of the item.
        findings: What it describes.

    Raises:
        OutputError: The scene has no georeference.
        GeoreferenceError: The CRS cannot be related to longitude and latitude.
    """
    require_mappable(findings, "STAC")
    scene = findings.scene
    ring = lonlat_ring(scene, view_ring(scene), segments=FOOTPRINT_SEGMENTS)
    made = findings.provenance
    created = made.get("created") or datetime.now(UTC).isoformat(timespec="seconds")
    properties = {
        **_times(made, created),
        "created": _utc(created),
        "processing:software": {"longllava-domains": version("longllava-domains")},
        "longllava:notice": SCENE_NOTICE,
        "longllava:notices": list(findings.notices),
        "longllava:thing": findings.category,
        "longllava:detections": len(findings.detections),
        "longllava:outcomes": findings.outcomes,
        "longllava:complete": findings.is_complete,
        "longllava:provenance": made.to_json(),
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": item_id,
        "geometry": None if ring is None else geometry(ring),
        **({} if ring is None else {"bbox": globe_box([ring])}),
        "properties": properties,
        "links": [{"rel": "derived_from", "href": href} for href in _sources(findings)],
        "assets": {},
    }


def _times(made: Mapping[str, Any], created: str) -> dict[str, Any]:
    """Return when the scene was taken: a moment, an interval, or the word unknown.

    STAC asks for an interval where there is no moment; all that is known then is that the scene was
    taken before it was looked at.
    """
    if "datetime" in made:
        return {"datetime": _utc(made["datetime"])}
    known = "start_datetime" in made or "end_datetime" in made
    return {
        "datetime": None,
        "start_datetime": _utc(made.get("start_datetime", _LONG_AGO)),
        "end_datetime": _utc(made.get("end_datetime", created)),
        **({} if known else {"longllava:acquired": "unknown"}),
    }


def _sources(findings: Detections) -> list[str]:
    """Return the scene's hrefs; a scene that was never a file is named by its checksum."""
    made = findings.provenance
    hrefs = str(made.get("source_href", "")).split()
    if not hrefs and "input_sha256" in made:
        hrefs = [f"urn:sha256:{made['input_sha256']}"]
    return hrefs


def _utc(text: str) -> str:
    """Return an RFC 3339 time in UTC; a date alone is its first moment."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _asset(file: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the key and the description of a saved file."""
    try:
        data = file.read_bytes()
        href = os.path.relpath(file, folder)
    except (OSError, ValueError):
        raise OutputError(
            "An asset of the STAC item is missing or cannot be read.",
            remedy="Save the findings first, then pass the files that were written.",
            code="export.asset",
        ) from None
    suffix = file.suffix.lower()
    if suffix not in MEDIA_TYPES:
        raise OutputError(
            "An asset of the STAC item is of a kind that findings are not saved as.",
            remedy=f"Pass files that end in {', '.join(MEDIA_TYPES)}.",
            code="export.asset_kind",
        )
    return file.name, {
        "href": href,
        "type": MEDIA_TYPES[suffix],
        "roles": ["overview" if MEDIA_TYPES[suffix].startswith("image/") else "data"],
        "file:size": len(data),
        # A multihash: 0x12 for SHA-256, 0x20 for its 32 bytes.
        "file:checksum": f"1220{hashlib.sha256(data).hexdigest()}",
    }
