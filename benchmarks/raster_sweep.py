"""Sweeps of large rasters: the global view and every 336-pixel tile, ours and the peers'.

    python benchmarks/raster_sweep.py --side 20000 --folder /data/bench

Makes the files it needs (three-band uint8 and four-band uint16; deflated tiles, strips, COG), then
runs every method on every file in a fresh process, interleaved, and prints the median of the
repetitions: tiles per second, peak memory added to that of the process before opening, and ratios
to the peer "one handle". Methods:

- ours, 1 and 2 threads: `Raster.tiles_then_global()`, without overviews the global view comes out
  of the same pass; with overviews from them;
- one handle: rasterio, one open dataset, a window per tile, and a decimated read for the global
  view; the default block cache of 5 % of the memory. "one handle 64 MB" bounds the cache;
- open per tile: the same windows, the file opened for each (a sample of tiles, extrapolated).

Every method makes the same views: uint16 is stretched to 8 bits with the same table.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.shutil import copy
from rasterio.windows import Window

TILE = 336
LOW, HIGH = 200.0, 11000.0
KINDS = {"uint8 x3": ("uint8", 3), "uint16 x4": ("uint16", 4)}
LAYOUTS = ("tiled", "strips", "strips1", "cog")
METHODS = ("ours 1 thread", "ours 2 threads", "one handle", "one handle 64 MB", "open per tile")
OPEN_PER_TILE_SAMPLE = 60


def main() -> None:
    """Run all, or with --method one measurement in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=Path("raster_bench"))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the file name, such as uint8_tiled")
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.method:
        print(json.dumps(measure(options.method, options.file)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for kind, (dtype, bands) in KINDS.items():
        for layout in LAYOUTS:
            path = options.folder / f"{dtype}_{layout}_{options.side}.tif"
            if options.only in path.name:
                make(path, dtype, bands, options.side, layout)
                compare(path, f"{kind} {layout}", options.repetitions)


def make(path: Path, dtype: str, bands: int, side: int, layout: str) -> None:
    """Write one synthetic scene: smooth ground with sensor noise, deflated to about half."""
    if path.exists():
        return
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": dtype,
        "crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5.4e6),
        "compress": "deflate", "predictor": 2, "interleave": "pixel", "bigtiff": "if_safer",
    }  # fmt: skip
    if layout.startswith("strips"):
        profile["blockysize"] = 1 if layout == "strips1" else 16
    else:
        profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512}
    half = path.with_suffix(".part")
    with rasterio.open(half, "w", **profile) as dataset:
        for top in range(0, side, 512):
            rows = min(512, side - top)
            dataset.write(ground(dtype, bands, side, top, rows), window=Window(0, top, side, rows))
        if bands == 4:
            colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
            dataset.colorinterp = colours
    if layout == "cog":
        scene = half
        half = path.with_suffix(".cog")
        options = {"blocksize": 512, "predictor": "standard", "overview_resampling": "average"}
        with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
            copy(scene, half, driver="COG", compress="deflate", bigtiff="if_safer", **options)
        scene.unlink()
    half.rename(path)


def ground(dtype: str, bands: int, side: int, top: int, rows: int) -> np.ndarray:
    """Return (bands, rows, side) of one band of rows."""
    rng = np.random.default_rng(top)
    y, x = np.mgrid[top : top + rows, 0:side].astype(np.float32)
    scale, noise = (200, 6) if dtype == "uint8" else (9000, 300)
    planes = []
    for band in range(bands):
        slope = (np.sin(x / (90 + 20 * band)) + np.cos(y / (70 + 15 * band)) + 2) / 4
        speckle = rng.integers(0, noise, (rows, side), dtype=np.int32)
        planes.append((slope * scale + 300 * (dtype != "uint8") + speckle).astype(dtype))
    return np.stack(planes)


def compare(path: Path, title: str, repetitions: int) -> None:
    """Measure every method on one file, interleaved, and print a table."""
    results: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for _ in range(repetitions):
        for method, runs in results.items():
            command = [sys.executable, __file__, "--method", method, "--file", str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            runs.append(json.loads(answer.stdout.splitlines()[-1]))
    print(f"\n{title}, {path.stat().st_size / 2**20:.0f} MiB")
    print(
        f"{'method':18} {'tiles/s':>8} {'x peer':>7} {'added MiB':>10} {'of peer':>8} {'global s':>9}"
    )
    medians = {
        method: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for method, runs in results.items()
    }
    peer = medians["one handle"]
    for method, median in medians.items():
        speed, memory = median["tiles_per_s"], median["added_mib"]
        print(f"{method:18} {speed:8.0f} {speed / peer['tiles_per_s']:7.2f} {memory:10.0f} "
              f"{memory / peer['added_mib']:8.2f} {median['global_s']:9.3f}", flush=True)  # fmt: skip


def measure(method: str, path: Path) -> dict[str, float]:
    """Run one method here; return tiles per second, peak memory added and time of the thumbnail."""
    sweep = SWEEPS[method]
    warm_up(method)
    with PeakMemory() as memory:
        start = time.perf_counter()
        count, share, global_s = sweep(path)
        seconds = time.perf_counter() - start
    # Sampled tiles stand for all; the global view is counted once.
    return {
        "tiles_per_s": count / ((seconds - global_s) * share + global_s),
        "added_mib": memory.added / 2**20,
        "global_s": global_s,
    }


def warm_up(method: str) -> None:
    """Import what the method needs, so that libraries do not count as its memory."""
    import imagecodecs
    import tifffile

    from longllava_domains.remote_sensing import open_raster

    _ = (imagecodecs.deflate_decode, tifffile.TiffFile, open_raster, method)


class PeakMemory:
    """Peak resident memory above that at the start, sampled every 2 ms."""

    def __enter__(self) -> "PeakMemory":
        self.process = psutil.Process()
        self.before = self.peak = self.process.memory_info().rss
        self.running = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()
        self.added = self.peak - self.before

    def _watch(self) -> None:
        while self.running:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.002)


def ours(threads: int) -> Callable[[Path], tuple[int, float, float]]:
    """Return our sweep with this many threads."""

    def sweep(path: Path) -> tuple[int, float, float]:
        from longllava_domains.remote_sensing import Stretch, open_raster

        with rasterio.open(path) as dataset:
            plain = dataset.dtypes[0] == "uint8"
        stretch = "none" if plain else Stretch("percentile", (LOW,) * 3, (HIGH,) * 3)
        with open_raster(path, stretch=stretch, threads=threads) as raster:
            before = last = time.perf_counter()
            count = 0
            for view in raster.tiles_then_global():
                before, last = last, time.perf_counter()
                count += view.place.role == "tile"
        return count, 1.0, last - before

    return sweep


def windows(path: Path) -> Iterator[Window]:
    """Yield the places of the reference grid, clipped to the raster."""
    with rasterio.open(path) as dataset:
        width, height = dataset.width, dataset.height
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield Window(left, top, min(TILE, width - left), min(TILE, height - top))


def render_sequence(bands: np.ndarray, table: np.ndarray | None) -> np.ndarray:
    """Turn (3, rows, columns) into the uint8 (rows, columns, 3) that a model takes."""
    shown = bands if table is None else table[bands]
    return np.ascontiguousarray(np.moveaxis(shown, 0, -1))


def stretch_table(dtype: str) -> np.ndarray | None:
    """Return the 16-bit table of the stretch, or None for 8-bit values."""
    if dtype == "uint8":
        return None
    share = np.clip((np.arange(65536.0) - LOW) / (HIGH - LOW), 0, 1)
    return np.rint(share * 255).astype(np.uint8)


def one_handle(cache_mb: int | None) -> Callable[[Path], tuple[int, float, float]]:
    """Return the common way: one dataset, a window per tile, a decimated read."""

    def sweep(path: Path) -> tuple[int, float, float]:
        options = {} if cache_mb is None else {"GDAL_CACHEMAX": cache_mb * 2**20}
        with rasterio.Env(**options), rasterio.open(path) as dataset:
            table = stretch_table(dataset.dtypes[0])
            start = time.perf_counter()
            small = dataset.read(
                (1, 2, 3), out_shape=(3, TILE, TILE), resampling=Resampling.average
            )
            render_sequence(small, table)
            global_s = time.perf_counter() - start
            count = 0
            for window in windows(path):
                render_sequence(dataset.read((1, 2, 3), window=window), table)
                count += 1
        return count, 1.0, global_s

    return sweep


def open_per_tile(path: Path) -> tuple[int, float, float]:
    """Open the file for each tile, on an even sample of the tiles."""
    places = list(windows(path))
    step = max(1, len(places) // OPEN_PER_TILE_SAMPLE)
    sample = places[::step]
    with rasterio.open(path) as dataset:
        table = stretch_table(dataset.dtypes[0])
    for window in sample:
        with rasterio.open(path) as dataset:
            render_sequence(dataset.read((1, 2, 3), window=window), table)
    return len(places), len(places) / len(sample), 0.0


SWEEPS: dict[str, Callable[[Path], tuple[int, float, float]]] = {
    "ours 1 thread": ours(1),
    "ours 2 threads": ours(2),
    "one handle": one_handle(None),
    "one handle 64 MB": one_handle(64),
    "open per tile": open_per_tile,
}

if __name__ == "__main__":
    main()
