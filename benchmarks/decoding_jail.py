"""What decoding in child processes costs: a compressed series of slices, in this process and in jail.

    python benchmarks/decoding_jail.py [--slices 300] [--size 512] [--threads 4] [--repeats 5]

Both ways decode the same frames with the same codecs and threads, in turn; the least time of the
repeats counts, because a shared machine only ever adds to it. The start of the children is told
apart. A ratio of 1.10 is ten per cent slower.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ct_loading import ENCODERS

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.formats.decoding import frames
from longllava_domains.formats.dicom import codecs

Decode = Callable[[bytes, str, int, int], tuple[Any, int]]


def seconds(decode: Decode, data: list[bytes], syntax: str, size: int, threads: int) -> float:
    """Return the seconds that all frames take."""
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda frame: decode(frame, syntax, size, size)[0].shape, data):
            pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    steps = (9.0, 384 / chosen.size, 384 / chosen.size)
    hu = chest_phantom(shape=(24, chosen.size, chosen.size), spacing_mm=steps).hu
    noise = np.random.default_rng(0).normal(0, 12, hu.shape)
    stored = np.clip(hu + noise + 1024, 0, 4095).astype(np.uint16)
    syntax, encode = ENCODERS["jpeg lossless"]
    first = encode(stored[0])
    started = time.perf_counter()
    frames.decode_frame(first, syntax, chosen.size, chosen.size)
    print(f"first frame with the start of a child: {time.perf_counter() - started:.2f} s")
    print(f"{chosen.slices} slices of {chosen.size} x {chosen.size}, {chosen.threads} threads")
    for name, (syntax, encode) in ENCODERS.items():
        few = [encode(image) for image in stored]
        data = [few[index % len(few)] for index in range(chosen.slices)]
        ways: dict[str, Decode] = {"here": codecs.decode_frame, "jail": frames.decode_frame}
        best = dict.fromkeys(ways, float("inf"))
        for decode in ways.values():
            seconds(decode, data[: 4 * chosen.threads], syntax, chosen.size, chosen.threads)
        for _ in range(chosen.repeats):
            for way, decode in ways.items():
                took = seconds(decode, data, syntax, chosen.size, chosen.threads)
                best[way] = min(best[way], took)
        print(
            f"{name:14} here {best['here']:6.2f} s   jail {best['jail']:6.2f} s   "
            f"ratio {best['jail'] / best['here']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
