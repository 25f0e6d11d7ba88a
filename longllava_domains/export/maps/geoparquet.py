"""GeoParquet 1.1: WKB geometry with a bounding-box column, in the scene's CRS."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longllava_domains.errors import OutputError
from longllava_domains.export.maps.features import (
    DETECTIONS,
    FOOTPRINTS,
    frames,
    is_in_degrees,
    require_mappable,
)
from longllava_domains.export.maps.geojson import beside
from longllava_domains.export.maps.globe import globe_box
from longllava_domains.files import new_file
from longllava_domains.remote_sensing.detections.detections import Detections

if TYPE_CHECKING:
    import geopandas


def write_geoparquet(path: str | Path, findings: Detections, *, overwrite: bool = False) -> None:
    """Write the detections, and beside them the footprints of the views.

    A Parquet file holds one table, so ``ships.parquet`` comes with ``ships.footprints.parquet``.
    The notice and the provenance are also in the file's metadata, which geopandas reads back
    as ``frame.attrs``.

    Args:
        path: Where the detections go.
        findings: What to write.
        overwrite: Replace files that are already there.

    Raises:
        OutputError: The scene has no georeference, a file exists or cannot be written.
    """
    from pyarrow import ArrowException

    require_mappable(findings, "GeoParquet")
    tables = frames(findings)
    for table in tables.values():
        table.attrs = {
            "notice": list(findings.notices),
            "provenance": findings.provenance.to_json(),
        }
    with (
        new_file(path, overwrite=overwrite) as detection_file,
        new_file(beside(path, FOOTPRINTS), overwrite=overwrite) as footprint_file,
    ):
        try:
            for layer, file in ((DETECTIONS, detection_file), (FOOTPRINTS, footprint_file)):
                tables[layer].to_parquet(
                    file, index=False, write_covering_bbox=True, schema_version="1.1.0"
                )
                _tell_crossing(file, tables[layer])
        except ArrowException:
            raise OutputError(
                "The GeoParquet file cannot be written.",
                remedy="Check the space left on the disk, or save a GeoPackage.",
                code="export.geoparquet",
            ) from None


def _tell_crossing(file: Path, table: "geopandas.GeoDataFrame") -> None:
    """Write the box of a layer on both sides of 180 as the format has it: west larger than east.

    The boxes of single rows stay ranges of coordinates, from which readers choose rows.
    """
    import pyarrow.parquet

    shapes = [shape for shape in table.geometry if shape is not None]
    if not shapes or not is_in_degrees(None if table.crs is None else table.crs.to_wkt()):
        return
    rings = [tuple(part.exterior.coords[:-1]) for shape in shapes for part in _parts(shape)]
    box = globe_box(rings)
    if box[0] <= box[2]:
        return
    written = pyarrow.parquet.read_table(file)
    metadata = dict(written.schema.metadata)
    geo = json.loads(metadata[b"geo"])
    geo["columns"][geo["primary_column"]]["bbox"] = box
    metadata[b"geo"] = json.dumps(geo).encode()
    pyarrow.parquet.write_table(written.replace_schema_metadata(metadata), file)


def _parts(shape: Any) -> list[Any]:
    return list(shape.geoms) if shape.geom_type == "MultiPolygon" else [shape]
