"""What it costs that GDAL decodes in a child process: scenes swept here and in jail.

    python benchmarks/raster_jail.py [--side 4096] [--repeats 3]

Each scene is opened and shown whole, as `to_sequence` does, once with GDAL in this process and once
in a child, in turn. Processor time counts both processes; the least of the repeats is taken, because a
shared machine only ever adds to it. The start of the child is told apart. 1.10 is ten per cent more.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin

from longllava_domains.remote_sensing import open_raster
from longllava_domains.remote_sensing.io.datasets import open as door

_GRID: dict[str, Any] = {"tiled": True, "blockxsize": 512, "blockysize": 512}
SCENES: dict[str, dict[str, Any]] = {
    "jp2": {"driver": "JP2OpenJPEG", "quality": 25},
    "jpeg.tif": {"compress": "jpeg", "photometric": "ycbcr", **_GRID},
    "webp.tif": {"compress": "webp", **_GRID},
    "lerc.tif": {"compress": "lerc", **_GRID},
    "png": {"driver": "PNG"},
    "img": {"driver": "HFA"},
}


def write(folder: Path, name: str, side: int) -> Path:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    plane = 90 + 50 * np.sin(rows / 61) + 40 * np.cos(columns / 83) + rng.normal(0, 4, (side, side))
    data = np.clip(np.stack([plane, plane + 10, plane - 10]), 0, 255).astype(np.uint8)
    path = folder / (name if "." in name else f"scene.{name}")
    profile = {"driver": "GTiff", "crs": "EPSG:32631", **SCENES[name]}
    where = from_origin(500_000, 5_000_000, 10, 10)
    with rasterio.open(
        path, "w", width=side, height=side, count=3, dtype="uint8", transform=where, **profile
    ) as raster:
        raster.write(data)
    return path


def processor_seconds() -> float:
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children())]
    return sum(one.user + one.system for one in times)


def seconds(path: Path, *, jailed: bool) -> tuple[float, float]:
    """Return elapsed and processor seconds of opening a scene and showing it whole."""
    door.CAN_JAIL = jailed
    path.touch()  # a child keeps a file open that has not changed, with what it has decoded of it
    used, started = processor_seconds(), time.perf_counter()
    with open_raster(path) as raster:
        assert len(raster.to_sequence()) > 0
    return time.perf_counter() - started, processor_seconds() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scenes", nargs="*", default=list(SCENES))
    chosen = parser.parse_args()
    print(f"{chosen.side} x {chosen.side} x 3 bytes, best of {chosen.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.scenes:
            path = write(Path(folder), name, chosen.side)
            start = seconds(path, jailed=True)  # warms the page cache, and starts the child once
            took = {False: [], True: []}
            for _ in range(chosen.repeats):
                for jailed in took:
                    took[jailed].append(seconds(path, jailed=jailed))
            here, jail = (np.min(took[jailed], axis=0) for jailed in (False, True))
            print(
                f"{name:9} processor time here {here[1]:6.2f} s   jail {jail[1]:6.2f} s   ratio "
                f"{jail[1] / here[1]:.2f}   elapsed {jail[0] / here[0]:.2f}   first {start[0]:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
