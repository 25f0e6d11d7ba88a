"""The options that commands share which open a raster: bands, stretch, nodata, CRS, area of interest."""

from typing import Annotated, Any, Final

import typer

from longllava_domains.pipelines.cli.options.shared import OptionGroup


def given(
    bands: str | None,
    stretch: str | None,
    nodata: float | None,
    crs: str | None,
    aoi: str | None,
) -> dict[str, Any]:
    """Return what was given, as settings of a raster; what was not given is left out.

    Args:
        bands: Numbers or names with commas between them, or the name of a sensor.
        stretch: Name of a stretch.
        nodata: Value that stands for no data.
        crs: Authority code, such as ``"EPSG:32618"``.
        aoi: Area of interest: "west,south,east,north", "lon,lat", GeoJSON, or a path to it.
    """
    said = {
        "bands": None if bands is None else _bands(bands),
        "stretch": stretch,
        "nodata": nodata,
        "crs": crs,
        "aoi": aoi,
    }
    return {name: value for name, value in said.items() if value is not None}


def _option(kind: Any, text: str) -> tuple[Any, None]:
    return Annotated[kind | None, typer.Option(help=f"Raster: {text}")], None


OPENING_RASTER: Final = OptionGroup(
    given,
    {
        "bands": _option(str, "band numbers or names, such as 4,3,2, or a sensor"),
        "stretch": _option(str, "auto, none, percentile, or a named one"),
        "nodata": _option(float, "value that stands for no data"),
        "crs": _option(str, "CRS in place of the file's, such as EPSG:32618"),
        "aoi": _option(str, "part to look at: W,S,E,N or LON,LAT in degrees, or a GeoJSON file"),
    },
)


def _bands(text: str) -> Any:
    """Return numbers and names as a tuple; one word alone as it is, for it may name a sensor."""
    parts = [int(part) if part.strip().isdigit() else part.strip() for part in text.split(",")]
    return parts[0] if len(parts) == 1 else tuple(parts)
