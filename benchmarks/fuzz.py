"""Damaged bytes through every door, many of them: what came of each, how long and how large.

    python benchmarks/fuzz.py [--inputs 50000] [--seed 0] [--doors zip nifti ...]

Each door runs in a process of its own, which is watched: one that dies or stands still for five
minutes is counted and started again behind the input that did it. The figures to reach: no foreign
exception, no death, no hang, no frame accepted that its decoder did not write, and a peak below
2 GB. Exit code 1 says that one of them was missed. The doors and the damage are those of
tests/builders/hostile_doors.py.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))

# A child that decodes may take 30 s of processor time, which a busy machine stretches.
_STILL_S = 300.0
# Of a slow kind of door fewer inputs, of a quick one more; the first that a name begins with counts.
_SHARES = {
    "config": 0.1, "tokenizer": 0.1, "bin": 0.2, "safetensors": 0.2,
    "series": 0.5, "dicomdir": 0.5, "slide": 0.5, "tiff": 0.5, "jp2": 0.5, "imagine": 0.5,
    "png": 0.5, "raster": 0.5, "decide": 0.5, "frame": 2.0, "magic": 2.0, "adapter": 2.0, "prompt": 2.0,
}  # fmt: skip


def enter(name: str, first: int, last: int, seed: int, pipe: Connection) -> None:
    """Try inputs one after another and send what came of each."""
    import hostile_doors
    import numpy as np

    from longllava_domains.errors import LongLlavaError

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with tempfile.TemporaryDirectory() as folder:
        door = hostile_doors.DOORS[name](Path(folder))
        for number in range(first, last):
            rng = np.random.default_rng([seed, number])
            door.target.write_bytes(hostile_doors.damage(door.data, rng))
            pipe.send((number, "begun"))
            try:
                outcome = door.judge(door.enter())
            except LongLlavaError:
                outcome = "refused"
            except Exception as error:  # the very thing that is looked for
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome = (
                    f"FOREIGN {type(error).__name__} {Path(where.filename).name}:{where.lineno}"
                )
            pipe.send((number, outcome))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((last, own // 1024))


def _share(name: str) -> float:
    return next((share for start, share in _SHARES.items() if name.startswith(start)), 1.0)


def watch(name: str, count: int, seed: int) -> tuple[Counter[str], int]:
    """Run one door and return its outcomes and its peak memory in MiB."""
    outcomes: Counter[str] = Counter()
    peak = first = 0
    context = multiprocessing.get_context("spawn")
    while first < count:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=enter, args=(name, first, count, seed, theirs))
        child.start()
        theirs.close()
        with contextlib.suppress(EOFError):
            while first < count or not peak:
                if not ours.poll(_STILL_S):
                    break
                number, outcome = ours.recv()
                if isinstance(outcome, int):
                    peak = max(peak, outcome)
                elif outcome != "begun":
                    outcomes[outcome] += 1
                    first = number + 1
        alive = child.is_alive() and first < count
        child.kill() if alive else child.join()
        if first < count:
            outcomes["HANG" if alive else "DEATH"] += 1
            first += 1
    return outcomes, peak


def main() -> None:
    import hostile_doors

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="doors that are tried at once")
    parser.add_argument("--doors", nargs="*", default=list(hostile_doors.DOORS))
    chosen = parser.parse_args()
    shares = {name: _share(name) for name in chosen.doors}
    total: Counter[str] = Counter()
    largest = 0

    def run(name: str) -> tuple[Counter[str], int]:
        count = max(1, round(chosen.inputs * shares[name] / sum(shares.values())))
        started = time.monotonic()
        outcomes, peak = watch(name, count, chosen.seed)
        told = ", ".join(f"{key} {number}" for key, number in sorted(outcomes.items()))
        took = time.monotonic() - started
        print(f"{name:22} {count:6} {took:7.1f} s {peak:5} MiB  {told}", flush=True)
        return outcomes, peak

    with ThreadPoolExecutor(chosen.at_once) as pool:
        for outcomes, peak in pool.map(run, shares):
            total += outcomes
            largest = max(largest, peak)
    foreign = sum(number for key, number in total.items() if key.startswith("FOREIGN"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(
        f"\n{total.total()} inputs: {foreign} foreign exceptions, {total['DEATH']} deaths, "
        f"{total['HANG']} hangs, {total['zero-filled']} frames zero-filled, "
        f"{total['cut']} cut, "
        f"{total['undetectable']} undetectable, peak {max(largest, children)} MiB"
    )
    missed = foreign + total["DEATH"] + total["HANG"] + total["zero-filled"] + total["cut"]
    sys.exit(1 if missed or max(largest, children) > 2048 else 0)


if __name__ == "__main__":
    main()
