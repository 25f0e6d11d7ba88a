"""Reports of the demonstration model on held-out chests, to be read: what was planted, said, and looked at.

Writes a folder for each chest with its report and the slices that were looked at most for every finding that
was planted or called, and prints a line for each: what was missed and what was not there.

    python benchmarks/demo_reports.py FOLDER --number 20 --first 9500000
"""

import argparse
import tempfile
from pathlib import Path

from demo_model import LABELS, held_out

from longllava_domains import pipelines
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of


def write(folder: Path, seed: int, pipeline: pipelines.CTReport) -> str:
    """Write the report of a chest and its pictures; return what was planted, missed and invented."""
    chest = labelled_chest(seed)
    with tempfile.TemporaryDirectory() as drawn:
        write_dicom_series(chest.phantom, Path(drawn) / "series")
        result = pipeline(Path(drawn) / "series")
    planted = set(chest.labels)
    called = {label for label in LABELS if result.abnormalities[label].yes_logit_margin > 0}
    own = folder / str(seed)
    own.mkdir(parents=True, exist_ok=True)
    (own / "report.txt").write_text(f"{chest.report()}\n\n--- the model ---\n{result.to_text()}\n")
    for label in planted | called:
        result.evidence(label).save(own / f"{label.lower().replace(' ', '_')}.png")
    missed, invented = sorted(planted - called), sorted(called - planted)
    return f"{seed}: {len(planted)} planted; missed {missed}; invented {invented} | {result.impression}"


def main() -> None:
    """Write as many reports as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--first", type=int, default=9_500_000, help="seed to begin with")
    given = parser.parse_args()
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32")
    for seed in held_out(split_of, given.number, given.first):
        print(write(given.folder, seed, pipeline), flush=True)


if __name__ == "__main__":
    main()
