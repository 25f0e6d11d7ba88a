"""Rasters that were read wrongly once, each named for the family of its fault.

Every function takes the path to write and returns it, as in `raster_builder`.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import raster_builder as builder
import rasterio
from affine import Affine
from numpy.typing import NDArray
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


def netcdf(path: Path, grids: dict[str, NDArray[Any]]) -> Path:
    """Write netCDF-3 (its classic format, byte by byte): grids over latitude 50..40, longitude 0..20."""
    rows, columns = next(iter(grids.values())).shape
    axes = {"lat": np.linspace(50, 40, rows), "lon": np.linspace(0, 20, columns)}
    units = {"lat": "degrees_north", "lon": "degrees_east"}
    values = {**{k: v.astype(">f8") for k, v in axes.items()},
              **{k: v.astype(">f4") for k, v in grids.items()}}  # fmt: skip

    def named(name: str) -> bytes:
        data = name.encode()
        return struct.pack(">i", len(data)) + data + b"\0" * (-len(data) % 4)

    def header(start: int) -> bytes:
        head = b"CDF\1" + struct.pack(">iii", 0, 10, 2)
        head += named("lat") + struct.pack(">i", rows) + named("lon") + struct.pack(">i", columns)
        head += struct.pack(">iiii", 0, 0, 11, len(values))
        for name, data in values.items():
            dimensions = {"lat": [0], "lon": [1]}.get(name, [0, 1])
            head += named(name) + struct.pack(f">i{len(dimensions)}i", len(dimensions), *dimensions)
            if name in units:
                head += struct.pack(">ii", 12, 1) + named("units") + struct.pack(">i", 2)
                head += named(units[name])
            else:
                head += struct.pack(">ii", 0, 0)
            kind = 6 if data.dtype == ">f8" else 5
            head += struct.pack(">iii", kind, data.nbytes, start)
            start += data.nbytes
        return head

    body = b"".join(data.tobytes() for data in values.values())
    path.write_bytes(header(len(header(0))) + body)
    return path
