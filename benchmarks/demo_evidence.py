"""Where the demonstration model looked: does the first slice by attention, or by occlusion, show the lesion?

Held-out chests with one focal finding each, written as DICOM and read by the public pipeline. A slice is
right if it shows the lesion or touches one that does. Occlusion leaves out runs of three slices, and its
first slice is the middle of the run that is missed most. Beside both: a slice at random, the middle one.
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
from longllava_domains.pipelines.ct.occlusion import OcclusionEvidence, occlusion_evidence
from longllava_domains.pipelines.ct.result import CTReportResult

RUN = 3  # slices that are left out together


def measure(number: int, first: int) -> dict[str, Any]:
    """Return the shares of right slices, and how many lesions they were counted on."""
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32")
    right: dict[str, list[float]] = {"attention": [], "occlusion": [], "random": [], "middle": []}
    asked = 0
    for position, seed in enumerate(held_out(split_of, number, first)):
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
            pipeline.model, result.sequence, label, pipeline.preset, parts=max(2, slices // RUN)
        )
        most_missed = max(left_out, key=lambda part: part.margin_drop)
        right["attention"].append(found.attended_slices[0].index in good)
        right["occlusion"].append(_middle(result, most_missed) in good)
        right["random"].append(len(good) / slices)
        right["middle"].append(slices // 2 in good)
    return {
        "asked": asked,
        "leaned_to": len(right["attention"]),
        **{name: round(float(np.mean(values)), 3) for name, values in right.items()},
    }


def _middle(result: CTReportResult, part: OcclusionEvidence) -> int:
    """Return the index of the slice in the middle of what was left out."""
    low, high = part.z_mm
    places = [view.place for view in result.sequence]
    inside = sorted({place.index for place in places if low <= place.z_mm <= high})
    return int(inside[len(inside) // 2])


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=30)
    parser.add_argument("--first", type=int, default=5_000_000, help="seed to begin with")
    given = parser.parse_args()
    print(json.dumps(measure(given.number, given.first), indent=1))


if __name__ == "__main__":
    main()
