"""Choice of the file that a search is saved as, checked before the first chip."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from longllava_domains.errors import GeoreferenceError, OutputError, UnsupportedInputError
from longllava_domains.export.maps.features import FOOTPRINTS
from longllava_domains.export.maps.geojson import beside
from longllava_domains.files import require_writable
from longllava_domains.pipelines.remote_sensing.result import SceneDetections
from longllava_domains.remote_sensing import Raster

MAP_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".geojson": "save_geojson",
        ".gpkg": "save_geopackage",
        ".parquet": "save_geoparquet",
        ".json": "save_stac",
    }
)
"""Ending of a file -> method of `SceneDetections` that writes it."""

_WITH_FOOTPRINTS_BESIDE: Final = (".geojson", ".parquet")
_IN_LONLAT: Final = (".geojson", ".json")


def require_savable(raster: Raster, path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a file that findings of this scene could not be saved as, before hours of work.

    Args:
        raster: The scene that will be searched.
        path: Where the findings shall go.
        overwrite: Files that are already there may be replaced.

    Raises:
        UnsupportedInputError: The ending names no format.
        OutputError: The scene has no georeference that the format needs, or a file exists or cannot
            be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MAP_FILES:
        raise UnsupportedInputError(
            "The ending of the output names no format.",
            remedy=f"End it with one of {', '.join(MAP_FILES)}.",
            code="find.out",
        )
    if raster.georeference.kind == "none" or raster.crs is None:
        raise OutputError(
            "The scene has no georeference or no CRS, and a map file holds places on Earth.",
            remedy='Name the CRS if only that is missing (crs="EPSG:..."), or leave the file out: '
            "pixel coordinates are printed.",
            code="export.no_georeference",
        )
    if suffix in _IN_LONLAT and not _reaches_earth(raster):
        raise OutputError(
            "The scene's CRS has no way to longitude and latitude on Earth.",
            remedy="Save a GeoPackage or GeoParquet, which keep the scene's own CRS.",
            code="export.not_earth",
        )
    require_writable(path, overwrite=overwrite)
    if suffix in _WITH_FOOTPRINTS_BESIDE:
        require_writable(beside(path, FOOTPRINTS), overwrite=overwrite)


def save(found: SceneDetections, path: str | Path, *, overwrite: bool = False) -> None:
    """Save findings as the ending of the file says.

    Raises:
        UnsupportedInputError: The ending names no format.
        OutputError: As the methods of `SceneDetections`.
    """
    method = MAP_FILES.get(Path(path).suffix.lower())
    if method is None:
        raise UnsupportedInputError(
            "The ending of the output names no format.",
            remedy=f"End it with one of {', '.join(MAP_FILES)}.",
            code="find.out",
        )
    getattr(found, method)(path, overwrite=overwrite)


def _reaches_earth(raster: Raster) -> bool:
    try:
        lon, lat = raster.pixel_to_lonlat(raster.width / 2, raster.height / 2)
    except GeoreferenceError as error:
        return error.code == "raster.off_earth"  # the rest of the scene may lie on it
    return math.isfinite(lon) and math.isfinite(lat)
