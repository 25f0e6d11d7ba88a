"""GeoPackage: detections and footprints as two layers of one file, styled for QGIS."""

import json
import sqlite3
from pathlib import Path

from longllava_domains.errors import OutputError
from longllava_domains.export.maps.features import DETECTIONS, FOOTPRINTS, frames, require_mappable
from longllava_domains.export.maps.qgis_style import detection_style, embed_styles, footprint_style
from longllava_domains.files import new_file
from longllava_domains.remote_sensing.detections.detections import Detections


def write_geopackage(path: str | Path, findings: Detections, *, overwrite: bool = False) -> None:
    """Write both layers in the scene's CRS, with notice and provenance as metadata.

    Args:
        path: Where the file goes.
        findings: What to write.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: The scene has no georeference, or the file exists, does not end in .gpkg (the
            standard's requirement 3) or cannot be written.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    if Path(path).suffix.lower() != ".gpkg":
        raise OutputError(
            "A GeoPackage's name ends in .gpkg.",
            remedy="Give a name with that ending.",
            code="export.suffix",
        )
    require_mappable(findings, "GeoPackage")
    metadata = {
        "notice": " ".join(findings.notices),
        "provenance": json.dumps(findings.provenance.to_json(), sort_keys=True),
    }
    tables = frames(findings)
    with new_file(path, overwrite=overwrite) as temporary:
        try:
            # Detections first: readers that are asked for no layer take the first.
            for layer in (DETECTIONS, FOOTPRINTS):
                table = tables[layer]
                is_cut = bool((table.geom_type == "MultiPolygon").any())
                pyogrio.write_dataframe(
                    table,
                    temporary,
                    layer=layer,
                    driver="GPKG",
                    geometry_type="MultiPolygon" if is_cut else "Polygon",
                    promote_to_multi=is_cut,
                    layer_metadata=metadata,
                )
            embed_styles(temporary, {DETECTIONS: detection_style(), FOOTPRINTS: footprint_style()})
        except (DataSourceError, DataLayerError, sqlite3.Error):
            raise OutputError(
                "The GeoPackage cannot be written.",
                remedy="Check the space left on the disk, or save GeoJSON.",
                code="export.geopackage",
            ) from None
