"""`longllava ask` on a generated cloud-optimised GeoTIFF of 30,000 x 30,000 pixels: time and memory.

    python benchmarks/ask_large_scene.py [--side 30000] [--folder /data/bench]

Makes two scenes (three-band bytes, deflated, with overviews), a small and a large one, asks one
question of each with the command line, in a process of its own, and prints the seconds, what the
answer says of views and ground resolution, and how much more memory the large scene took: reading
it, its views and their tokens together.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from raster_sweep import make

SMALL_SIDE = 600
BOUND_MIB = 350
QUESTION = "What is shown in this scene?"


class Asked(NamedTuple):
    """One run of the command line."""

    seconds: float
    peak_mib: float
    answer: dict[str, object]


def ask(scene: Path) -> Asked:
    """Ask in a process of its own, with the packaged demonstration model."""
    code = "from longllava_domains.pipelines.cli.main import main; main()"
    options = ["--model", "demo", "--dtype", "float32", "--max-new-tokens", "8", "--json"]
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", code, "ask", str(scene), QUESTION, *options], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"longllava ask ended with status {status}")
    return Asked(time.perf_counter() - start, usage.ru_maxrss / 1024, json.loads(printed))


def _make_elsewhere(scene: Path, side: int) -> None:
    """Make a scene in a process of its own: a child's peak counts what its parent held before."""
    maker = multiprocessing.Process(target=make, args=(scene, "uint8", 3, side, "cog"))
    maker.start()
    maker.join()
    if maker.exitcode != 0:
        raise SystemExit(f"making {scene.name} ended with {maker.exitcode}")


def main() -> None:
    """Make, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=30000)
    parser.add_argument("--folder", type=Path, default=Path("raster_bench"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asked = []
    for side in (SMALL_SIDE, options.side):
        scene = options.folder / f"ask_{side}.tif"
        _make_elsewhere(scene, side)
        asked.append(ask(scene))
        megabytes = scene.stat().st_size / 1e6
        print(f"{side} x {side} ({megabytes:.0f} MB): {asked[-1].seconds:.0f} s, "
              f"peak {asked[-1].peak_mib:.0f} MiB", flush=True)  # fmt: skip
    added = asked[1].peak_mib - asked[0].peak_mib
    print(f"added by the large scene {added:.0f} MiB; the bound is {BOUND_MIB}")
    print(json.dumps(asked[1].answer.get("provenance"), indent=1))


if __name__ == "__main__":
    main()
