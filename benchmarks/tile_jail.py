"""What a JPEG tile of a slide would cost in a child process: why libjpeg-turbo stays in this one.

    python benchmarks/tile_jail.py [--tiles 1000] [--repeats 4]

The same tile is decoded here and in jail, in turn. Processor time counts both processes; the least of
the repeats is taken, because a shared machine only ever adds to it. Started with a number, the file
is the child itself.
"""

import argparse
import os
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import psutil

from longllava_domains.formats.decoding.jail import Jail
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.formats.decoding.worker import serve
from longllava_domains.pathology.sources.decode import decode_codestream


def tile(side: int) -> bytes:
    """Encode texture, 4:2:0 and quality 80, as scanners do."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    plane = 180 + 30 * np.sin(rows / 9) * np.cos(columns / 7)
    image = np.stack([plane, plane - 60, plane - 20], axis=-1) + rng.normal(0, 8, (side, side, 1))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return bytes(imagecodecs.jpeg8_encode(pixels, level=80, subsampling="420"))


def processor_seconds() -> float:
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children())]
    return sum(one.user + one.system for one in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=4)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    jail = Jail(module="tile_jail")
    for side in (256, 512):
        data = tile(side)
        job = DecodingJob("tile", data, (side,), (side, side, 3), np.uint8)
        ways = {
            "here": lambda data=data, side=side: decode_codestream(data, "ycbcr", side, side),
            "jail": lambda job=job: jail.run(job),
        }
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(chosen.repeats):
            for way, decode in ways.items():
                decode()
                before = processor_seconds()
                for _ in range(chosen.tiles):
                    decode()
                took = (processor_seconds() - before) / chosen.tiles * 1000
                least[way] = min(least[way], took)
        print(
            f"JPEG {side} x {side} of {len(data) / 1000:.0f} kB: here {least['here']:.2f} ms, jail "
            f"{least['jail']:.2f} ms of processor time, ratio {least['jail'] / least['here']:.2f}",
            flush=True,
        )
    jail.close()


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdigit():
        serve(
            int(sys.argv[1]),
            {"tile": lambda data, side: (decode_codestream(data, "ycbcr", side, side), 0)},
        )
    else:
        main()
