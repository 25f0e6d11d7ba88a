"""Views of a large slide: every 336-pixel view in order, and 256 sparse ones, ours and the peers'.

    python benchmarks/slide_reading.py --folder /data/bench

Makes a JPEG-tiled pyramidal TIFF of 40,000 x 30,000 pixels (256-pixel tiles, quality 80, 4:2:0,
levels 1, 4 and 16), then runs every reader in a fresh process, interleaved, and prints the medians
of the repetitions: processor milliseconds for each view, memory added to that of the process
before opening, and the ratio to openslide. Every reader makes the same RGB views; how far their
pixels are from ours is printed too. Peers that are not installed are left out, and said so.

- sweep: rows of views from the top, as many as --views;
- sparse: 256 views anywhere, the same for every reader;
- lowmag: views of 1,500 level-0 pixels averaged to 336, ours alone beside openslide's level and
  Pillow's box filter.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import psutil
import tifffile
from PIL import Image

VIEW, TILE, MPP = 336, 256, 0.25
WIDTH, HEIGHT = 40_000, 30_000
READERS = ("ours", "openslide", "tiffslide", "fastslide", "pyvips")
JOBS = ("sweep", "sparse", "lowmag")
Read = Callable[[int, int], np.ndarray]


def main() -> None:
    """Run all, or with --reader one measurement in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("slide_bench"))
    parser.add_argument("--views", type=int, default=910)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--job", choices=JOBS)
    options = parser.parse_args()
    path = options.folder / f"slide_{WIDTH}x{HEIGHT}.tif"
    if options.reader:
        print(json.dumps(measure(options.reader, options.job, path, options.views)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        make(path)
    for job in JOBS:
        compare(path, job, options.views, options.repetitions)


def make(path: Path) -> None:
    """Write the slide: one pattern of tissue, repeated with its own tiles' bytes."""
    pattern = _pattern(16 * TILE, 12 * TILE)
    options = {"photometric": "ycbcr", "compression": "jpeg", "tile": (TILE, TILE),
               "subsampling": (2, 2), "metadata": None, "dtype": np.uint8,
               "resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}  # fmt: skip
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for factor in (1, 4, 16):
            size = (HEIGHT // factor, WIDTH // factor)
            level = pattern if factor == 1 else _shrunk(pattern, factor)
            repeats = (-(-TILE * 12 // level.shape[0]), -(-TILE * 16 // level.shape[1]))
            tiles = _encoded(np.tile(level, (*repeats, 1)))
            file.write(_repeated(tiles, size), shape=(*size, 3), subfiletype=int(factor > 1),
                       **options)  # fmt: skip


def _pattern(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    slow = rng.normal(0, 1, (height // 24, width // 24, 3)).astype(np.float32)
    layers = [
        np.asarray(Image.fromarray(slow[..., c]).resize((width, height), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    grain = rng.normal(0, 6, (height, width, 1)).astype(np.float32)
    picture = np.array((215, 150, 195)) + 25 * np.stack(layers, -1) + grain
    glass = (np.mgrid[0:height, 0:width][1] // 700 % 3 == 2)[..., None]
    return np.clip(np.where(glass, 242 + grain / 6, picture), 0, 255).astype(np.uint8)


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    return image.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3)).astype(np.uint8)


def _encoded(pattern: np.ndarray) -> list[list[bytes]]:
    return [
        [
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(pattern[y : y + TILE, x : x + TILE]),
                level=80, colorspace="rgb", outcolorspace="ycbcr", subsampling="420",
            )
            for x in range(0, 16 * TILE, TILE)
        ]
        for y in range(0, 12 * TILE, TILE)
    ]  # fmt: skip


def _repeated(tiles: list[list[bytes]], size: tuple[int, int]) -> Iterator[bytes]:
    for row in range(-(-size[0] // TILE)):
        for column in range(-(-size[1] // TILE)):
            yield tiles[row % 12][column % 16]


def compare(path: Path, job: str, views: int, repetitions: int) -> None:
    """Print one line for each reader."""
    known = [reader for reader in READERS if reader == "ours" or importlib.util.find_spec(reader)]
    absent = [reader for reader in READERS if reader not in known]
    if job == "lowmag":
        known = ["ours", "openslide"]
    found: dict[str, list[dict[str, Any]]] = {reader: [] for reader in known}
    for _ in range(repetitions):
        for reader in known:
            command = [sys.executable, __file__, "--reader", reader, "--job", job,
                       "--views", str(views), "--folder", str(path.parent)]  # fmt: skip
            out = subprocess.run(
                command, check=True, capture_output=True, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                     "VIPS_CONCURRENCY": "1"},
            ).stdout  # fmt: skip
            found[reader].append(json.loads(out.splitlines()[-1]))
    base = statistics.median(run["cpu_ms"] for run in found["openslide"])
    print(f"{job} ({found['ours'][0]['views']} views; absent: {', '.join(absent) or 'none'})")
    for reader, runs in found.items():
        cpu = statistics.median(run["cpu_ms"] for run in runs)
        memory = statistics.median(run["added_mb"] for run in runs)
        print(
            f"  {reader:10} {cpu:6.2f} ms/view  {base / cpu:5.2f} x openslide  {memory:5.0f} MB"
            f"  largest difference from ours {runs[0]['difference']}"
        )


def measure(reader: str, job: str, path: Path, views: int) -> dict[str, Any]:
    """Read every view of a job once; return processor time, added memory and differences."""
    side = 1500 if job == "lowmag" else VIEW
    places = list(_places(job, side))[: views if job == "sweep" else 256]
    opener = {"ours": _ours, "openslide": _openslide, "tiffslide": _tiffslide,
              "fastslide": _fastslide, "pyvips": _pyvips}[reader]  # fmt: skip
    opener(path, side)(0, 0)  # imports are not measured
    process = psutil.Process()
    before, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.process_time()
    read = opener(path, side)
    for place in places:
        read(*place)
    cpu = time.process_time() - start
    done.set()
    watcher.join()
    sample = places[:: max(1, len(places) // 40)]
    ours = _ours(path, side)
    difference = max(
        int(np.abs(read(*place).astype(int) - ours(*place).astype(int)).max()) for place in sample
    )
    return {"views": len(places), "cpu_ms": cpu / len(places) * 1000,
            "added_mb": (peak[0] - before) / 1e6, "difference": difference}  # fmt: skip


def _places(job: str, side: int) -> Iterator[tuple[int, int]]:
    if job == "sweep":
        for y in range(0, HEIGHT - side + 1, side):
            for x in range(0, WIDTH - side + 1, side):
                yield x, y
        return
    rng = np.random.default_rng(1)
    for _ in range(256):
        yield int(rng.integers(WIDTH - side)) // 4 * 4, int(rng.integers(HEIGHT - side)) // 4 * 4


def _ours(path: Path, side: int) -> Read:
    from longllava_domains.pathology import open_slide

    slide = open_slide(path)
    return lambda x, y: slide.read(x, y, side, side, mpp=slide.mpp * side / VIEW)


def _openslide(path: Path, side: int) -> Read:
    import openslide

    slide = openslide.OpenSlide(path)
    if side == VIEW:
        return lambda x, y: np.asarray(slide.read_region((x, y), 0, (VIEW, VIEW)).convert("RGB"))
    level_side = side // 4

    def read(x: int, y: int) -> np.ndarray:
        picture = slide.read_region((x, y), 1, (level_side, level_side)).convert("RGB")
        return np.asarray(picture.resize((VIEW, VIEW), Image.Resampling.BOX))

    return read


def _tiffslide(path: Path, side: int) -> Read:
    import tiffslide

    slide = tiffslide.TiffSlide(path)
    return lambda x, y: slide.read_region((x, y), 0, (side, side), as_array=True)


def _fastslide(path: Path, side: int) -> Read:
    import fastslide

    slide = fastslide.FastSlide.from_file_path(str(path))
    return lambda x, y: slide.read_region((x, y), 0, (side, side)).numpy()[..., :3]


def _pyvips(path: Path, side: int) -> Read:
    import pyvips

    image = pyvips.Image.new_from_file(str(path), access="random")
    region = pyvips.Region.new(image)

    def read(x: int, y: int) -> np.ndarray:
        data = region.fetch(x, y, side, side)
        return np.frombuffer(data, np.uint8).reshape(side, side, -1)[..., :3]

    return read


if __name__ == "__main__":
    main()
