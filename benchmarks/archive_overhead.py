"""The cost of an archive run beside its scorer, with one that sleeps for the planned time.

    python benchmarks/archive_overhead.py [--items 200] [--seconds 0.25] [--prepare 0.1]

Compares the wall time of a run (ledger, parts, and items prepared ahead in a process) with the sum
of what the scorer sleeps. What happens once, loading Python's modules and starting the decoder
process, is done before the clock starts by a run of a few items.

A run that was asked to stop (a time limit around this script sends SIGTERM) ends cleanly and early:
its time is no figure, and the script says so and ends with an error.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))
import archive_stub as stub

from longllava_domains.archive import Progress, Settings, run_local


def processor_s() -> float:
    """Return the processor time of this process and of those that it has ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = (resource.getrusage(kind) for kind in kinds)
    return sum(each.ru_utime + each.ru_stime for each in used)


def require_whole(progress: Progress, items: int) -> None:
    """End the script where not every item was scored: less work took less time."""
    done = progress.counts.get("done", 0)
    if done != items:
        sys.exit(
            f"stopped after {done} of {items} items: no figure. Let the script run to its end, "
            "without a time limit."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--prepare", type=float, default=0.1)
    options = parser.parse_args()
    job = stub.job(options.prepare, options.seconds)
    items = stub.Items(options.items, tuple((number, "good") for number in range(options.items)))
    with tempfile.TemporaryDirectory() as name:
        run_local(job, stub.Items(3), Settings(Path(name) / "warm", decoders=1))
        for decoders in (0, 1, 2):
            output = Path(name) / str(decoders)
            begin, used = time.perf_counter(), processor_s()
            progress = run_local(job, items, Settings(output, decoders=decoders))
            taken = time.perf_counter() - begin
            require_whole(progress, options.items)
            used = processor_s() - used
            alone = options.items * options.seconds
            print(
                f"{decoders} decoders: {taken:.2f} s for {alone:.2f} s of scoring: "
                f"{taken / alone - 1:+.1%} (prepared in {options.prepare} s each); {used:.2f} s of "
                f"processor, {used / alone:.1%} of the scoring",
                flush=True,
            )


if __name__ == "__main__":
    main()
