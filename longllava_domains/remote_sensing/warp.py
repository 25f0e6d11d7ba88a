"""A file seen on another grid, through GDAL's warper; only for files that do not lie on it."""

from dataclasses import dataclass, replace
from typing import Any

from longllava_domains.errors import GeoreferenceError
from longllava_domains.remote_sensing.gdal import gdal_errors, gdal_settings
from longllava_domains.remote_sensing.gdal_source import GdalSource
from longllava_domains.remote_sensing.georeference import AffineMap, Georeference
from longllava_domains.remote_sensing.opened import Opened


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

    Raises:
        GeoreferenceError: The file cannot be projected there.
    """
    from affine import Affine
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.vrt import WarpedVRT

    dataset, source = opened.dataset, opened.source
    affine = grid.affine
    numbers: tuple[int, ...] = getattr(source, "numbers", (1,))
    options: dict[str, Any] = {
        "crs": grid.crs,
        "transform": Affine(affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
        "width": grid.width,
        "height": grid.height,
        "resampling": Resampling.nearest if source.categorical else Resampling.bilinear,
        "add_alpha": ColorInterp.alpha not in dataset.colorinterp,
        **_where_from(opened),
    }
    try:
        with gdal_settings():
            warped = WarpedVRT(dataset, **options)
    except gdal_errors():
        raise GeoreferenceError(
            "A raster of the mosaic cannot be projected to the first one's CRS.",
            remedy="Open it on its own, or bring all files to one CRS first.",
            code="raster.warp",
        ) from None
    pixels = GdalSource(warped, numbers, opened.hrefs[0], categorical=source.categorical)
    pixels.beneath = dataset
    codes = {**opened.codes, "warped": 1}
    place = Georeference(grid.affine, grid.crs)
    return replace(opened, source=pixels, place=place, codes=codes, dataset=warped)


def _where_from(opened: Opened) -> dict[str, Any]:
    """Say how the warper gets from the file's pixels to its CRS, the way `georeference` does."""
    kind = opened.place.kind
    if kind == "affine":
        return {"src_crs": opened.place.crs}
    if kind == "rpc":
        height_m = opened.numbers["rpc_height_m"]
        return {"SRC_METHOD": "RPC", "RPC_HEIGHT": str(height_m), "src_crs": opened.place.crs}
    method = "GCP_TPS" if kind == "gcp-tps" else "GCP_POLYNOMIAL"
    return {"SRC_METHOD": method, "src_crs": opened.place.crs}
