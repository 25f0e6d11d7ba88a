"""GeoParquet 1.1: WKB geometry with a bounding-box column, in the scene's CRS."""

from pathlib import Path

from longllava_domains.errors import OutputError
from longllava_domains.export.files import new_file
from longllava_domains.export.maps.features import DETECTIONS, FOOTPRINTS, frames, require_mappable
from longllava_domains.export.maps.geojson import beside
from longllava_domains.remote_sensing.detections.detections import Detections


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
        except ArrowException:
            raise OutputError(
                "The GeoParquet file cannot be written.",
                remedy="Check the space left on the disk, or save a GeoPackage.",
                code="export.geoparquet",
            ) from None
