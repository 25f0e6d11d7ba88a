"""What decoding in child processes costs: a compressed series, decoded in this process and in jail.

    python benchmarks/decoding_jail.py [--slices 300] [--size 512] [--repeats 5]

Both ways open the same files and take all Hounsfield units, with the same codecs and threads, in
turn; the least of the repeats counts, because a shared machine only ever adds to it. The start of
the children is told apart. A ratio of 1.10 is ten per cent more. Where other work shares the cores,
only the ratio of processor time means something: a process that wakes up waits for its turn.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from ct_loading import ENCODERS, write_series

from longllava_domains import ct
from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.dicom import stored_values
from longllava_domains.formats.decoding import frames
from longllava_domains.formats.dicom import codecs

WAYS = {"here": codecs.decode_frame, "jail": frames.decode_frame}


def processor_seconds() -> float:
    """Return the processor time of this process and its living children."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children())]
    return sum(one.user + one.system for one in times)


def seconds(folder: Path, way: str) -> tuple[float, float]:
    """Return elapsed and processor seconds from an opened series to its Hounsfield units."""
    stored_values.decode_frame = WAYS[way]
    volume = ct.open_volume(folder)
    used, started = processor_seconds(), time.perf_counter()
    assert volume.hu.shape[0] > 0
    return time.perf_counter() - started, processor_seconds() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--syntaxes", nargs="*", default=list(ENCODERS))
    chosen = parser.parse_args()
    steps = (9.0, 384 / chosen.size, 384 / chosen.size)
    tile = chest_phantom(shape=(30, chosen.size, chosen.size), spacing_mm=steps).hu
    noise = np.random.default_rng(0).normal(0, 12, tile.shape)
    tile = np.clip(tile + noise, -1024, 3071).astype(np.int16)
    hu = np.tile(tile, (-(-chosen.slices // len(tile)), 1, 1))[: chosen.slices]
    print(f"{chosen.slices} slices of {chosen.size} x {chosen.size}, best of {chosen.repeats}")
    with tempfile.TemporaryDirectory() as root:
        for name in chosen.syntaxes:
            syntax, encode = ENCODERS[name]
            folder = write_series(Path(root) / name.replace(" ", "_"), hu, syntax, encode)
            start = seconds(folder, "jail")  # warms the page cache, and starts the children once
            took: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for _ in range(chosen.repeats):
                for way in WAYS:
                    took[way].append(seconds(folder, way))
            here, jail = (np.min(took[way], axis=0) for way in WAYS)
            print(
                f"{name:14} here {here[0]:6.2f} s   jail {jail[0]:6.2f} s   ratio "
                f"{jail[0] / here[0]:.2f}, of processor time {jail[1] / here[1]:.2f}   "
                f"first time {start[0]:6.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
