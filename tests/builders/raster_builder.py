"""Real rasters written by script, each named for its hazard.

Every function takes the path to write and returns it. Sizes are small and odd on purpose: no
side is a multiple of a block or a tile.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

WIDTH, HEIGHT = 701, 487
UTM_31N = "EPSG:32631"
NORTH_UP = Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 5400000.0)
# 30 degrees clockwise, pixels of 10 m by 8 m.
ROTATED = NORTH_UP @ Affine.rotation(30) @ Affine.scale(1.0, 0.8)


def scene(
    bands: int = 3, dtype: str = "uint8", width: int = WIDTH, height: int = HEIGHT, seed: int = 0
) -> NDArray[Any]:
    """Return (bands, height, width): slopes and noise, compressible, no two rows alike."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    planes = []
    for band in range(bands):
        slope = np.sin(columns / (17 + 5 * band)) + np.cos(rows / (23 + 3 * band))
        planes.append((slope + 2) / 4 * 0.9 + rng.random((height, width)) * 0.1)
    share = np.stack(planes)
    if np.issubdtype(np.dtype(dtype), np.floating):
        return (share * 3 - 1).astype(dtype)
    limits = np.iinfo(dtype)
    top = min(limits.max, 12000)
    return (share * (top - 1) + 1).astype(dtype)


def write(path: Path, data: NDArray[Any], **profile: Any) -> Path:
    """Write (bands, height, width) as a GeoTIFF in UTM 31N at 10 m unless told otherwise."""
    settings: dict[str, Any] = {
        "driver": "GTiff",
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "dtype": data.dtype.name,
        "crs": UTM_31N,
        "transform": NORTH_UP,
    }
    settings |= profile
    given = {key: value for key, value in settings.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **given) as dataset:
            dataset.write(data)
    return path


def tiled(path: Path, **profile: Any) -> Path:
    """Deflated 256-pixel tiles, pixel interleaved, horizontal predictor."""
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
    data = profile.pop("data", None)
    options |= {"compress": "deflate", "predictor": 2, **profile}
    return write(path, scene() if data is None else data, **options)


def strips_one_row(path: Path) -> Path:
    """One-row strips: the slowest layout to read in tiles."""
    return write(path, scene(), compress="deflate", blockysize=1, interleave="pixel")


def strips_sixteen_rows(path: Path) -> Path:
    """Sixteen-row strips, LZW, uint16, four bands named blue, green, red, nir."""
    write(path, scene(4, "uint16"), compress="lzw", predictor=2, blockysize=16, interleave="pixel")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.gray,) + (ColorInterp.undefined,) * 3
        dataset.descriptions = ("blue", "green", "red", "nir")
    return path


def one_giant_strip(path: Path) -> Path:
    """The whole image in a single deflated strip."""
    data = scene(3, "uint16")
    return write(path, data, compress="deflate", predictor=2, blockysize=HEIGHT, interleave="pixel")


def one_giant_strip_raw(path: Path) -> Path:
    """The whole image in a single strip, uncompressed."""
    return write(path, scene(), blockysize=HEIGHT, interleave="pixel")


def planar(path: Path) -> Path:
    """Bands in separate planes, tiled."""
    return tiled(path, interleave="band")


def planar_strips(path: Path) -> Path:
    """Bands in separate planes, strips, no compression."""
    return write(path, scene(), interleave="band", blockysize=7)


def bigtiff_zstd(path: Path) -> Path:
    """BigTIFF with Zstandard tiles."""
    return tiled(path, BIGTIFF="YES", compress="zstd")


def big_endian(path: Path) -> Path:
    """Motorola byte order, uint16, predictor."""
    return tiled(path, data=scene(3, "uint16"), ENDIANNESS="BIG", blockxsize=128)


def float_predictor(path: Path) -> Path:
    """float32 with the floating point predictor."""
    return tiled(path, data=scene(1, "float32"), predictor=3, blockysize=128)


def sparse(path: Path) -> Path:
    """Tiles that were never written; nodata 7."""
    data = scene()
    tiled(
        path, blockxsize=128, blockysize=128, SPARSE_OK=True, nodata=7, data=np.full_like(data, 7)
    )
    with rasterio.open(path, "r+") as dataset:
        window = rasterio.windows.Window(128, 128, 256, 256)
        dataset.write(data[:, 128:384, 128:384], window=window)
    return path


def jpeg_ycbcr(path: Path) -> Path:
    """JPEG tiles in YCbCr, which only GDAL should decode."""
    return tiled(path, compress="jpeg", photometric="ycbcr", predictor=None)


def with_overviews(path: Path) -> Path:
    """Tiled, with averaged overviews 2, 4 and 8."""
    tiled(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.average)
    return path


def rotated(path: Path) -> Path:
    """A geotransform turned by 30 degrees with pixels that are not square."""
    return tiled(path, transform=ROTATED)


def south_up(path: Path) -> Path:
    """Rows that run north."""
    return tiled(path, transform=Affine(10.0, 0.0, 500000.0, 0.0, 10.0, 5300000.0))


def antimeridian(path: Path) -> Path:
    """UTM 60N across 180 degrees."""
    return tiled(path, crs="EPSG:32660", transform=Affine(100, 0, 690000, 0, -100, 5400000))


def lonlat_past_180(path: Path) -> Path:
    """Degrees that run from 179.9 to beyond 180."""
    return tiled(path, crs="EPSG:4326", transform=Affine(0.001, 0, 179.9, 0, -0.001, 10.0))


def gcp_only(path: Path, noise_m: float = 0.0) -> Path:
    """Sixteen ground control points and no geotransform."""
    rng = np.random.default_rng(1)
    points = []
    for row in np.linspace(0, HEIGHT, 4):
        for column in np.linspace(0, WIDTH, 4):
            x, y = ROTATED @ (column, row)
            dx, dy = rng.normal(0, noise_m, 2) if noise_m else (0.0, 0.0)
            points.append(GroundControlPoint(row=row, col=column, x=x + dx, y=y + dy))
    write(path, scene(), transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.crs.CRS.from_string(UTM_31N))
    return path


def rpc_only(path: Path) -> Path:
    """Rational polynomials and no geotransform: nearly affine, with a slight curve."""
    line, sample = [0.0] * 20, [0.0] * 20
    line[2], line[3], line[7] = -1.0, 0.01, 0.002
    sample[1], sample[3], sample[8] = 1.0, -0.01, 0.003
    one = [1.0] + [0.0] * 19
    rpc = RPC(
        height_off=120.0, height_scale=500.0, lat_off=48.5, lat_scale=0.03, line_den_coeff=one,
        line_num_coeff=line, line_off=HEIGHT / 2, line_scale=HEIGHT / 2, long_off=3.2,
        long_scale=0.04, samp_den_coeff=one, samp_num_coeff=sample, samp_off=WIDTH / 2,
        samp_scale=WIDTH / 2,
    )  # fmt: skip
    write(path, scene(), transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = rpc
    return path


def no_georeference(path: Path) -> Path:
    """Pixels and nothing else."""
    return write(path, scene(), transform=None, crs=None)


def no_crs(path: Path) -> Path:
    """A geotransform whose CRS nobody wrote down."""
    return write(path, scene(), crs=None)


def local_crs(path: Path) -> Path:
    """An engineering CRS, tied to no place on Earth."""
    return write(path, scene(), crs='LOCAL_CS["site grid",UNIT["metre",1]]')


def mars(path: Path) -> Path:
    """A sinusoidal map of another planet."""
    wkt = (
        'PROJCS["Mars",GEOGCS["GCS_Mars",DATUM["D_Mars",SPHEROID["Mars",3396190,0]],'
        'PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]],'
        'PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],UNIT["metre",1]]'
    )
    return write(path, scene(), crs=wkt, transform=Affine(10, 0, 0, 0, -10, 1000))


def palette(path: Path) -> Path:
    """Classes with a colour table."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    classes = ((rows // 40 + columns // 60) % 5).astype(np.uint8)[None]
    write(path, classes, compress="deflate", photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {c: (50 * c, 255 - 50 * c, 10 * c, 255) for c in range(5)})
    return path


def scale_offset(path: Path) -> Path:
    """int16 with a scale and an offset per band, and nodata -32768 in a corner."""
    data = scene(3, "int16")
    data[:, :50, :60] = -32768
    write(path, data, nodata=-32768, compress="deflate", tiled=True, interleave="pixel")
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.0001, 0.0001, 0.0002)
        dataset.offsets = (-0.1, -0.1, 0.0)
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return path


def nan_nodata(path: Path) -> Path:
    """float32 with NaN in one half, nodata -9999 in a corner, and one infinite pixel."""
    data = scene(1, "float32")
    data[0, :, : WIDTH // 2] = np.nan
    data[0, :40, -40:] = -9999
    data[0, 200, 600] = np.inf
    return write(path, data, nodata=-9999, compress="deflate", tiled=True)


def alpha_and_nodata(path: Path) -> Path:
    """RGBA whose alpha hides one corner and whose nodata 0 marks another."""
    data = np.concatenate([scene(), np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    data[3, :60, :70] = 0
    data[:3, -50:, -80:] = 0
    write(path, data, nodata=0, photometric="rgb", alpha="yes", tiled=True, interleave="pixel")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = tuple(ColorInterp[c] for c in ("red", "green", "blue", "alpha"))
    return path


def internal_mask(path: Path) -> Path:
    """A mask band inside the file that hides a disc; real zeros elsewhere must stay."""
    data = scene()
    data[:, 300:320, 300:320] = 0
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    mask = np.hypot(rows - 100, columns - 120) > 80
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        tiled(path)
        with rasterio.open(path, "r+") as dataset:
            dataset.write(data)
            dataset.write_mask(mask)
    return path


def sidecar_mask(path: Path) -> Path:
    """The same mask in a .msk file beside the raster."""
    tiled(path)
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[:, :90] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert path.with_name(path.name + ".msk").exists()
    return path


def all_nodata(path: Path) -> Path:
    """Nothing but nodata."""
    return write(path, np.zeros((3, HEIGHT, WIDTH), np.uint16), nodata=0)


def island(path: Path) -> Path:
    """Nine pixels of data in a sea of nodata that any sparse sample misses."""
    data = np.zeros((1, 2100, 2100), np.uint16)
    data[0, 1201:1204, 1703:1706] = np.arange(100, 109).reshape(3, 3)
    return write(path, data, nodata=0, tiled=True, blockxsize=256, blockysize=256,
                 compress="deflate")  # fmt: skip


def complex_values(path: Path) -> Path:
    """Single-look complex radar."""
    return write(path, scene(1, "float32").astype(np.complex64))


def ten_bands(path: Path) -> Path:
    """Ten bands that say nothing of themselves."""
    return write(path, scene(10, "uint16", 64, 48), tiled=False)


def smaller_than_a_tile(path: Path) -> Path:
    """A raster of 5 x 3 pixels."""
    return write(path, scene(3, "uint8", 5, 3))


LAYOUTS: tuple[Callable[[Path], Path], ...] = (
    tiled, strips_one_row, strips_sixteen_rows, one_giant_strip, one_giant_strip_raw, planar,
    planar_strips, bigtiff_zstd, big_endian, float_predictor, sparse, jpeg_ycbcr, with_overviews,
)  # fmt: skip
CONTENTS: tuple[Callable[[Path], Path], ...] = (
    palette, scale_offset, nan_nodata, alpha_and_nodata, internal_mask, sidecar_mask,
    smaller_than_a_tile, island,
)  # fmt: skip
