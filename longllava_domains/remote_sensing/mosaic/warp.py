"""A file seen on another grid, through GDAL's warper; only for files that do not lie on it."""

from dataclasses import dataclass, replace
from typing import Any

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.georeference import AffineMap, Georeference
from longllava_domains.remote_sensing.io.datasets.open import warp_dataset
from longllava_domains.remote_sensing.io.gdal import gdal_errors
from longllava_domains.remote_sensing.io.gdal_source import GdalSource
from longllava_domains.remote_sensing.io.href import is_remote
from longllava_domains.remote_sensing.io.opened_file import Opened


@dataclass(frozen=True)
class MapGrid:
    """A pixel grid on the map.

    Attributes:
        affine: From its pixels to map coordinates.
        crs: Authority code or WKT.
        width: Pixels.
        height: Pixels.
    """

    affine: AffineMap
    crs: str
    width: int
    height: int

    def shifted(self, column: int, row: int, width: int, height: int) -> "MapGrid":
        """Return the part of the grid that starts at (column, row), which may be negative."""
        x, y = self.affine.forward(column, row)
        return MapGrid(replace(self.affine, c=x, f=y), self.crs, width, height)


def warp(opened: Opened, grid: MapGrid) -> Opened:
    """See a file on a grid: bilinear, classes nearest; outside of the file nothing is data.

    Args:
        opened: A file with a geotransform (see `level`).
        grid: Where its pixels shall lie.

    Raises:
        GeoreferenceError: The file cannot be projected there.
    """
    from affine import Affine

    to = grid.affine
    options = {
        "crs": grid.crs,
        "src_crs": opened.place.crs,
        "transform": Affine(to.a, to.b, to.c, to.d, to.e, to.f),
        "width": grid.width,
        "height": grid.height,
    }
    return _warped(opened, "warped", Georeference(grid.affine, grid.crs), options)


def level(opened: Opened) -> Opened:
    """See a file that has only control points or RPC north up, at its own scale and in its own CRS.

    GDAL's warper takes them into account only where it may choose the grid itself.

    Raises:
        GeoreferenceError: The file has no georeference or CRS, or cannot be projected.
    """
    place = opened.place
    if place.kind == "none" or place.crs is None:
        raise GeoreferenceError(
            "A file of several has no georeference or CRS, so where it belongs is unknown.",
            remedy='Pass crs="EPSG:..." if only the CRS is missing, or open the file on its own.',
            code="raster.mosaic_unplaced",
        )
    if place.kind == "affine":
        return opened
    if opened.codes.get("gcp.unwrapped"):
        # GDAL's warper takes the points as the file has them, a whole turn apart.
        raise GeoreferenceError(
            "A file of several has control points on both sides of 180 degrees.",
            remedy="Open it on its own, or give it a geotransform in a CRS without a jump there.",
            code="raster.mosaic_gcp_dateline",
        )
    methods = {"gcp": "GCP_POLYNOMIAL", "gcp-tps": "GCP_TPS", "rpc": "RPC"}
    options = {"crs": place.crs, "src_crs": place.crs, "SRC_METHOD": methods[place.kind]}
    if place.kind == "rpc":
        options["RPC_HEIGHT"] = str(opened.numbers["rpc_height_m"])
    return _warped(opened, "levelled", None, options)


def _warped(
    opened: Opened, how: str, place: Georeference | None, options: dict[str, Any]
) -> Opened:
    from rasterio.enums import ColorInterp, Resampling

    dataset, source = opened.dataset, opened.source
    numbers: tuple[int, ...] = getattr(source, "numbers", (1,))
    options["resampling"] = Resampling.nearest if source.categorical else Resampling.bilinear
    options["add_alpha"] = ColorInterp.alpha not in dataset.colorinterp
    given = getattr(source, "given_nodata", None)
    if given is not None:
        options |= {"src_nodata": given, "nodata": given}
    if not options["add_alpha"]:
        # Beside an alpha band GDAL takes nodata for data and moves it off its value: `pixels`
        # below looks for the value itself, as it does in a file that is not warped.
        options |= {"src_nodata": None, "nodata": None}
    try:
        warped = warp_dataset(dataset, options, remote=is_remote(opened.hrefs[0]))
    except gdal_errors():
        raise GeoreferenceError(
            "A raster of the mosaic cannot be projected to the first one's CRS.",
            remedy="Open it on its own, or bring all files to one CRS first.",
            code="raster.warp",
        ) from None
    pixels = GdalSource(
        warped, numbers, opened.hrefs[0], categorical=source.categorical, nodata=given
    )
    pixels.beneath = source
    if not options["add_alpha"]:
        pixels.nodata = source.nodata
    if place is None:
        a, b, c, d, e, f = tuple(warped.transform)[:6]
        place = Georeference(AffineMap(a, b, c, d, e, f), opened.place.crs)
    codes = {**opened.codes, how: 1}
    return replace(opened, source=pixels, place=place, codes=codes, dataset=warped)
