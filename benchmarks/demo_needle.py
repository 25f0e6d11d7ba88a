"""One marked slice among many: does the demonstration model find it, wherever it stands?

A clean held-out chest is drawn out to as many slices as are asked for, and one of them is replaced by the
slice of the same body that shows most of a planted focal finding. Written as DICOM, read by the public
pipeline, each slice shown in two windows. The finding must be called present with the slice and absent
without it; beside that: is the slice the first by attention, and are other focal findings called for it?

    python benchmarks/demo_needle.py --views 50 100 --number 12
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from demo_model import held_out, interval
from numpy.typing import NDArray

from longllava_domains import pipelines
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.chest import ChestPhantom
from longllava_domains.adapters.phantoms.chest_findings import FOCAL
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of
from longllava_domains.pipelines.ct.result import Abnormality

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SPACING_MM = 7.5
WINDOWS = 2


def needle(seed: int, label: str) -> tuple[ChestPhantom, NDArray[np.int16]] | None:
    """Return a clean chest, and a slice of the same body that shows most of a finding."""
    marked = labelled_chest(seed, findings=(label,))
    if not marked.planted:
        return None
    most = int(marked.planted[0].coverage.sum((1, 2)).argmax())
    return labelled_chest(seed, findings=()).phantom, marked.phantom.hu[most]


def look(
    pipeline: pipelines.CTReport, clean: ChestPhantom, slices: int,
    marked: tuple[int, NDArray[np.int16]] | None,
) -> Mapping[str, Abnormality]:  # fmt: skip
    """Return the findings of a scan of so many slices, one of them replaced."""
    hu = clean.hu[np.linspace(0, len(clean.hu) - 1, slices).round().astype(int)].copy()
    if marked is not None:
        hu[marked[0]] = marked[1]
    drawn = ChestPhantom(hu, (SPACING_MM, *clean.spacing_mm[1:]), {})
    policy = replace(pipeline.policy(spacing_mm=SPACING_MM), max_views=None)
    with tempfile.TemporaryDirectory() as folder:
        write_dicom_series(drawn, Path(folder) / "series")
        result = pipeline(Path(folder) / "series", policy=policy, max_new_tokens=0)
    assert len(result.sequence) == slices * WINDOWS
    return result.abnormalities


def measure(views: int, number: int, first: int, **loading: str | None) -> dict[str, Any]:
    """Return, for a number of views, the shares that are right at each depth and at all."""
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32", **loading)
    slices = views // WINDOWS
    quiet, found, first_is_it, others = [], [], [], []
    for position, seed in enumerate(held_out(split_of, number, first)):
        label = FOCAL[position % len(FOCAL)]
        drawn = needle(seed, label)
        if drawn is None:
            continue
        clean, marked = drawn
        quiet.append(look(pipeline, clean, slices, None)[label].yes_logit_margin <= 0)
        places = [round(depth * (slices - 1)) for depth in DEPTHS]
        seen = [look(pipeline, clean, slices, (at, marked)) for at in places]
        found.append([each[label].yes_logit_margin > 0 for each in seen])
        first_is_it.append([
            each[label].attended_slices[0].index == at
            for each, at in zip(seen, places, strict=True)
        ])  # fmt: skip
        others += [
            each[other].yes_logit_margin > 0 for each in seen for other in FOCAL if other != label
        ]
        print(views, seed, label, quiet[-1], found[-1], first_is_it[-1], flush=True)
    called, attended, silent = (np.array(rows, float) for rows in (found, first_is_it, quiet))
    right = (called + silent[:, None]) / 2
    return {
        "views": views,
        "chests": len(quiet),
        "quiet_without": round(float(silent.mean()), 3),
        "found": dict(zip(map(str, DEPTHS), called.mean(0).round(3).tolist(), strict=True)),
        "right": round(float(right.mean()), 3),
        "right_interval": interval(lambda rows: float(right[rows].mean()), len(right)),
        "other_focal_findings_called": round(float(np.mean(others)), 3),
        "first_by_attention": round(float(attended.mean()), 3),
        "first_by_chance": round(1 / slices, 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, nargs="+", default=[50, 100, 300])
    parser.add_argument("--number", type=int, default=12)
    parser.add_argument("--first", type=int, default=9_000_000, help="seed to begin with")
    parser.add_argument("--adapter", help="none for the model without the adapter of its domain")
    given = parser.parse_args()
    for views in given.views:
        found = measure(views, given.number, given.first, adapter=given.adapter)
        print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
