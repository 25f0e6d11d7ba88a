"""Where the demonstration model looked: does the first slice by attention, or by occlusion, show the lesion?

Held-out chests with one focal finding each, written as DICOM and read by the public pipeline. A slice is
right if it shows the lesion or touches one that does. Beside both: a slice drawn at random, the middle one.
Only findings that the model leans to are counted; how many it missed is told.

    python benchmarks/demo_evidence.py --number 30
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from demo_model import held_out

from longllava_domains import pipelines
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.chest_findings import FOCAL
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of
from longllava_domains.pipelines.ct.occlusion import occlusion_evidence
from longllava_domains.pipelines.ct.result import CTReportResult


def measure(number: int) -> dict[str, Any]:
    """Return the shares of right slices, and how many lesions they were counted on."""
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32")
    right: dict[str, list[float]] = {"attention": [], "occlusion": [], "random": [], "middle": []}
    asked = 0
    for position, seed in enumerate(held_out(split_of, number)):
        label = FOCAL[position % len(FOCAL)]
        chest = labelled_chest(seed, findings=(label,))
        if not chest.planted:
            continue
        asked += 1
        with tempfile.TemporaryDirectory() as folder:
            write_dicom_series(chest.phantom, Path(folder) / "series")
            result = pipeline(Path(folder) / "series", max_new_tokens=0)
        found = result.abnormalities[label]
        print(seed, label, round(found.yes_logit_margin, 2), flush=True)
        if found.yes_logit_margin <= 0:
            continue
        slices = len({view.place.index for view in result.sequence})
        good = {n + step for n in chest.planted[0].slices for step in (-1, 0, 1)}
        good &= set(range(slices))
        left_out = occlusion_evidence(
            pipeline.model, result.sequence, label, pipeline.preset, parts=slices
        )
        strongest = max(left_out, key=lambda part: part.margin_drop)
        right["attention"].append(found.attended_slices[0].index in good)
        right["occlusion"].append(_index_at(result, strongest.z_mm[0]) in good)
        right["random"].append(len(good) / slices)
        right["middle"].append(slices // 2 in good)
    return {
        "asked": asked,
        "leaned_to": len(right["attention"]),
        **{name: round(float(np.mean(values)), 3) for name, values in right.items()},
    }


def _index_at(result: CTReportResult, z_mm: float) -> int:
    return int(next(view.place.index for view in result.sequence if view.place.z_mm == z_mm))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=30)
    print(json.dumps(measure(parser.parse_args().number), indent=1))


if __name__ == "__main__":
    main()
