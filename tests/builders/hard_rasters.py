"""Rasters that were read wrongly once, each named for the family of its fault.

Every function takes the path to write and returns it, as in `raster_builder`.
"""

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import raster_builder as builder
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

NAD83_SHIFTED = (
    'GEOGCS["NAD83",DATUM["North_American_Datum_1983",SPHEROID["GRS 1980",6378137,298.257222101],'
    'TOWGS84[0,0,0,0,0,0,0]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],'
    'AXIS["Latitude",NORTH],AXIS["Longitude",EAST]]'
)
SWEREF_SHIFTED = (
    'PROJCS["SWEREF99 TM",GEOGCS["SWEREF99",DATUM["SWEREF99",SPHEROID["GRS 1980",6378137,'
    '298.257222101],TOWGS84[0,0,0,0,0,0,0]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",15],'
    'PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
    'PARAMETER["false_northing",0],UNIT["metre",1],AXIS["Northing",NORTH],AXIS["Easting",EAST]]'
)


def with_height(horizontal: str) -> str:
    """Return a compound CRS of a horizontal one and heights."""
    vertical = 'VERT_CS["height",VERT_DATUM["datum of heights",2005],UNIT["metre",1],AXIS["Up",UP]]'
    return f'COMPD_CS["with height",{horizontal},{vertical}]'


def control_points(
    path: Path,
    lonlat: Callable[[float, float], tuple[float, float]],
    across: int = 9,
    down: int = 7,
    bad_px: float = 0.0,
) -> Path:
    """A lattice of control points in degrees; the middle one may be wrong by some pixels."""
    points = []
    for row in np.linspace(0, builder.HEIGHT, down):
        for column in np.linspace(0, builder.WIDTH, across):
            points.append([row, column, *lonlat(column, row)])
    if bad_px:
        row, column, _, _ = points[len(points) // 2]
        points[len(points) // 2][2:] = lonlat(column + bad_px, row)
    builder.write(path, builder.scene(), transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = ([GroundControlPoint(*point) for point in points], CRS.from_epsg(4326))
    return path


def in_degrees(path: Path, transform: Affine, crs: str = "EPSG:4326") -> Path:
    """A scene whose geotransform is in degrees, or is said to be."""
    return builder.write(path, builder.scene(1), crs=crs, transform=transform)


def vrt(path: Path, sources: list[str], width: int, height: int, **attributes: str) -> Path:
    """Write a VRT of one byte band per source, named as XML has to spell it."""
    relative = attributes.get("relative", 'relativeToVRT="1"')
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{number}"><SimpleSource>'
        f"<SourceFilename {relative}>{escape(source)}</SourceFilename>"
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for number, source in enumerate(sources, 1)
    )
    srs = f"<SRS>{escape(attributes.get('crs', 'EPSG:32631'))}</SRS>"
    transform = attributes.get("transform", "500000,10,0,5400000,0,-10")
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{srs}'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
    )
    return path
