"""Kill archive runs at random instants and at every step of a commit, many times over.

    python benchmarks/archive_crashes.py [--items 2000] [--kills 200] [--rounds 5]

Each campaign is resumed after every kill and compared with a run that nothing disturbed. Prints,
for each, the items lost, doubled and different; all three have to be 0. The short form of this
runs in the tests.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))
import archive_crashes as crashes
import archive_stub as stub


def compare(output: Path, expected: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Return how many items are lost, doubled and different."""
    found = stub.rows(output)
    wanted = {row["item_id"]: row for row in expected}
    times = Counter(str(row["item_id"]) for row in found)
    lost = len(wanted.keys() - times.keys())
    doubled = sum(count - 1 for count in times.values())
    different = sum(row != wanted.get(row["item_id"]) for row in found)
    return lost, doubled, different


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        expected = crashes.undisturbed(root / "undisturbed", options.items)
        for part_rows in (1, 3, 16):
            begin = time.monotonic()
            output = root / f"steps{part_rows}"
            steps = crashes.kill_at_every_step(output, options.items, part_rows, options.items)
            figures = compare(output, expected)
            worst += sum(figures)
            report(f"every step of a part of {part_rows} rows", steps, figures, begin)
        for seed in range(options.rounds):
            begin = time.monotonic()
            output = root / f"random{seed}"
            hits = crashes.kill_at_random(output, options.items, 16, options.kills, seed)
            figures = compare(output, expected)
            worst += sum(figures)
            report(f"random instants, seed {seed}", hits, figures, begin)
    sys.exit(worst > 0)


def report(what: str, kills: int, figures: tuple[int, int, int], begin: float) -> None:
    lost, doubled, different = figures
    seconds = time.monotonic() - begin
    print(
        f"{what}: {kills} kills; {lost} lost, {doubled} doubled, {different} different "
        f"({seconds:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
