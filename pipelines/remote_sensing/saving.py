"""Choice of the files that a search is saved as, checked before the first chip."""

import math
from collections.abc import Mapping, Sequence
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

PICTURES: Final = (".png", ".jpg", ".jpeg")
"""Endings of a drawing of the detections on the scene."""

_STAC: Final = ".json"
_WITH_FOOTPRINTS_BESIDE: Final = (".geojson", ".parquet")
_IN_LONLAT: Final = (".geojson", _STAC)


def files_of(path: str | Path) -> tuple[Path, ...]:
    """Return the files that saving as `path` writes: itself, and footprints beside some."""
    path = Path(path)
    if path.suffix.lower() in _WITH_FOOTPRINTS_BESIDE:
        return path, beside(path, FOOTPRINTS)
    return (path,)


def require_savable(raster: Raster, *paths: str | Path, overwrite: bool = False) -> None:
    """Refuse files that findings of this scene could not be saved as, before hours of work.

    Args:
        raster: The scene that will be searched.
        *paths: Where the findings shall go.
        overwrite: Files that are already there may be replaced.

    Raises:
        UnsupportedInputError: An ending names no format.
        OutputError: The scene has no georeference that a format needs, two outputs would be one
            file, or a file exists or cannot be written.
    """
    for path in paths:
        suffix = Path(path).suffix.lower()
        if suffix not in (*MAP_FILES, *PICTURES):
            raise _unknown_ending()
        if suffix in MAP_FILES:
            _require_mappable(raster, suffix)
        for file in files_of(path):
            require_writable(file, overwrite=overwrite)
    files = [file.absolute() for path in paths for file in files_of(path)]
    if len(set(files)) < len(files):
        raise OutputError(
            "Two outputs of this search would be one file.",
            remedy="Give each output a name of its own.",
            code="find.same_out",
        )


def save(
    found: SceneDetections,
    path: str | Path,
    *,
    scene: Raster | None = None,
    overwrite: bool = False,
) -> None:
    """Save findings as the ending of the file says.

    Args:
        found: The findings.
        path: Where they go.
        scene: The raster that was searched, still open; a picture needs it.
        overwrite: Replace files that are already there.

    Raises:
        UnsupportedInputError: The ending names no format, or a picture is asked for without a scene.
        OutputError: As the methods of `SceneDetections`.
    """
    suffix = Path(path).suffix.lower()
    if suffix in PICTURES and scene is not None:
        found.save_picture(path, scene, overwrite=overwrite)
    elif suffix in MAP_FILES:
        getattr(found, MAP_FILES[suffix])(path, overwrite=overwrite)
    else:
        raise _unknown_ending()


def save_all(found: SceneDetections, paths: Sequence[str | Path], scene: Raster) -> list[Path]:
    """Save findings in several forms; STAC items come last and link the others as their assets.

    Args:
        found: The findings.
        paths: Where they go; each ending names a form.
        scene: The raster that was searched, still open.

    Returns:
        Every file that was written, in order.

    Raises:
        LongLlavaError: As `save`.
    """
    written: list[Path] = []
    items = [path for path in paths if Path(path).suffix.lower() == _STAC]
    for path in paths:
        if path not in items:
            save(found, path, scene=scene)
            written += files_of(path)
    assets = tuple(written)
    for path in items:
        found.save_stac(path, assets=assets)
        written.append(Path(path))
    return written


def _unknown_ending() -> UnsupportedInputError:
    return UnsupportedInputError(
        "The ending of the output names no format for what is found in a raster.",
        remedy=f"End it with one of {', '.join((*MAP_FILES, *PICTURES))}.",
        code="find.out",
    )


def _require_mappable(raster: Raster, suffix: str) -> None:
    """Refuse a map file of a scene that has no place on Earth."""
    if raster.georeference.kind == "none" or raster.crs is None:
        raise OutputError(
            "The scene has no georeference or no CRS, and a map file holds places on Earth.",
            remedy='Name the CRS if only that is missing (crs="EPSG:..."), or leave the file out: '
            "pixel coordinates are printed, and a .png is drawn.",
            code="export.no_georeference",
        )
    if suffix in _IN_LONLAT and not _reaches_earth(raster):
        raise OutputError(
            "The scene's CRS has no way to longitude and latitude on Earth.",
            remedy="Save a .gpkg or .parquet, which keep the scene's own CRS.",
            code="export.not_earth",
        )


def _reaches_earth(raster: Raster) -> bool:
    try:
        lon, lat = raster.pixel_to_lonlat(raster.width / 2, raster.height / 2)
    except GeoreferenceError as error:
        return error.code == "raster.off_earth"  # the rest of the scene may lie on it
    return math.isfinite(lon) and math.isfinite(lat)
