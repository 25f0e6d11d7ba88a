"""Boxes of the demonstration model: F1 at an intersection over union of 0.5, on scenes that it never saw.

Held-out seeds and sizes, written as GeoTIFF and searched by the public pipeline for every kind of object
that is drawn, also for those that a scene lacks. A box counts once, for the object that it meets best.

    python benchmarks/demo_boxes.py --number 20
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from demo_model import held_out, interval
from shapely import Polygon

from longllava_domains import pipelines
from longllava_domains.adapters.phantoms.labelled_scene import OBJECTS, labelled_scene, scene_split
from longllava_domains.adapters.phantoms.scene_files import write_geotiff

LEAST_IOU = 0.5


def hits(found: list[Polygon], planted: list[Polygon]) -> int:
    """Return how many planted objects have a box of their own, best pairs first."""
    pairs = sorted(
        ((f.intersection(p).area / f.union(p).area, i, j) for i, f in enumerate(found)
         for j, p in enumerate(planted)), reverse=True,
    )  # fmt: skip
    boxes: set[int] = set()
    objects: set[int] = set()
    for iou, i, j in pairs:
        if iou >= LEAST_IOU and i not in boxes and j not in objects:
            boxes.add(i)
            objects.add(j)
    return len(objects)


def measure(number: int, first: int, adapter: str | None) -> dict[str, Any]:
    """Return F1, precision and recall over all boxes, intervals over scenes, and F1 of each kind."""
    pipeline = pipelines.RemoteSensingQA.from_pretrained("demo", adapter=adapter, dtype="float32")
    counts = np.zeros((number, len(OBJECTS), 3), int)  # hits, boxes, objects
    failed = chips = 0
    for scene, seed in enumerate(held_out(scene_split, number, first)):
        drawn = labelled_scene(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = write_geotiff(drawn, Path(folder) / "scene.tif")
            for kind, name in enumerate(OBJECTS):
                found = pipeline.find(path, name)
                failed += found.outcomes["failed"]
                chips += len(found.chips)
                boxes = [Polygon(one.corners_pixel()) for one in found.detections]
                edges = [item.box_px for item in drawn.objects if item.name == name]
                planted = [Polygon(((a, b), (c, b), (c, d), (a, d))) for a, b, c, d in edges]
                counts[scene, kind] = hits(boxes, planted), len(boxes), len(planted)
        print(seed, counts[scene].tolist(), flush=True)
    hit, boxes_found, objects = (int(each) for each in counts.sum((0, 1)))
    shares = {"f1": _f1, "precision": _precision, "recall": _recall}
    return {
        "scenes": number,
        **{name: share(counts) for name, share in shares.items()},
        **{
            f"{name}_interval": interval(lambda rows, share=share: share(counts[rows]), number)
            for name, share in shares.items()
        },
        "hits": hit,
        "boxes": boxes_found,
        "objects": objects,
        "f1_by_kind": {name: _f1(counts[:, kind]) for kind, name in enumerate(OBJECTS)},
        "unreadable_chips": round(failed / max(chips, 1), 4),
    }


def _f1(counts: np.ndarray) -> float:
    hit, boxes, objects = counts.reshape(-1, 3).sum(0)
    return round(2 * hit / max(boxes + objects, 1), 3)


def _precision(counts: np.ndarray) -> float:
    hit, boxes, _ = counts.reshape(-1, 3).sum(0)
    return round(hit / max(boxes, 1), 3)


def _recall(counts: np.ndarray) -> float:
    hit, _, objects = counts.reshape(-1, 3).sum(0)
    return round(hit / max(objects, 1), 3)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--first", type=int, default=5_000_000, help="seed to begin with")
    parser.add_argument("--adapter", default=None, help='a folder; "none" for the base')
    given = parser.parse_args()
    print(json.dumps(measure(given.number, given.first, given.adapter), indent=1))


if __name__ == "__main__":
    main()
