"""One raster, several threads: everyone gets the pixels that one thread would get."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hard_rasters as hard
import numpy as np
import pytest
import raster_builder as builder

from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.visual.strips import PixelWindow

THREADS, ROUNDS = 8, 12


def scene(tmp_path, kind: str) -> Any:
    if kind == "mosaic":
        return [builder.tiled(tmp_path / f"{i}.tif", data=builder.scene(seed=i)) for i in range(2)]
    if kind == "warped":
        rotated = builder.tiled(tmp_path / "r.tif", transform=builder.ROTATED)
        return [builder.tiled(tmp_path / "n.tif"), rotated]
    if kind == "vrt":
        builder.tiled(tmp_path / "a.tif")
        return hard.vrt(tmp_path / "a.vrt", ["a.tif"] * 3, builder.WIDTH, builder.HEIGHT)
    return getattr(builder, kind)(tmp_path / f"{kind}.tif")


@pytest.mark.parametrize("kind", ["jpeg_ycbcr", "internal_mask", "strips_one_row", "mosaic", "vrt",
                                  "warped"])  # fmt: skip
def test_threads_that_share_a_raster_see_the_same_pixels(tmp_path, kind) -> None:
    """Family: one GDAL handle in several threads; wrong pixels, and once a crash."""
    raster = open_raster(scene(tmp_path, kind), threads=2)
    rng = np.random.default_rng(0)
    windows = [
        PixelWindow(*(int(v) for v in rng.integers(0, 300, 2)), 180, 150) for _ in range(ROUNDS)
    ]
    expected = [raster.source.read(window).values.copy() for window in windows]
    policy = GridPolicy(tile_px=200)
    whole = raster.to_sequence(policy).content_sha256()
    gate = threading.Barrier(THREADS)

    def look(number: int) -> bool:
        gate.wait()
        order = np.random.default_rng(number).permutation(ROUNDS)
        same = [np.array_equal(raster.source.read(windows[i]).values, expected[i]) for i in order]
        if number % 4 == 0:
            same.append(raster.to_sequence(policy).content_sha256() == whole)
        return all(same)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(look, range(THREADS)))


def test_places_are_the_same_from_every_thread(tmp_path) -> None:
    """Family: one GDAL handle in several threads; transformers are handles too."""
    raster = open_raster(builder.gcp_only(tmp_path / "gcp.tif", noise_m=40))
    points = [(17.0 * n % 700, 31.0 * n % 480) for n in range(200)]
    expected = [raster.pixel_to_lonlat(*point) for point in points]

    def look(_: int) -> bool:
        return [raster.pixel_to_lonlat(*point) for point in points] == expected

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(look, range(THREADS)))
