"""What the demonstration model has learned, on phantoms that no stage of its training saw.

Held-out seeds, slice distances, matrices and sizes; every phantom is written as a real file and read
by the public pipelines. The figures say that the machinery learns. They say nothing about patients.

    python benchmarks/demo_model.py ct --number 40
    python benchmarks/demo_model.py scene --number 60
    python benchmarks/demo_model.py slide --number 40
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from longllava_domains import pipelines
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.chest_findings import FOCAL, PLANTERS
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of
from longllava_domains.adapters.phantoms.labelled_scene import labelled_scene, scene_split
from longllava_domains.adapters.phantoms.labelled_slide import labelled_slide, slide_split
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid
from longllava_domains.evaluate.roc import auroc
from longllava_domains.pathology import TilePolicy

LABELS = tuple(PLANTERS)
DRAWS = 1000


def held_out(split: Callable[[int], str], number: int, first: int = 5_000_000) -> Iterator[int]:
    """Yield the first so many held-out seeds from one on."""
    seed = first
    while number:
        if split(seed) == "held-out":
            number -= 1
            yield seed
        seed += 1


def interval(statistic: Callable[[np.ndarray], float], number: int) -> list[float]:
    """Return a 95 % percentile interval over phantoms."""
    chance = np.random.default_rng(0)
    values = [statistic(chance.integers(0, number, number)) for _ in range(DRAWS)]
    return [round(float(v), 3) for v in np.nanpercentile(values, (2.5, 97.5))]


def macro_f1(truth: np.ndarray, margins: np.ndarray) -> float:
    """Return the mean F1 of the labels that occur, at a margin of 0."""
    called = margins > 0
    hits = (truth & called).sum(0)
    wrong = (truth ^ called).sum(0)
    some = truth.sum(0) > 0
    if not some.any():
        return float("nan")
    return float((2 * hits[some] / (2 * hits[some] + wrong[some])).mean())


def macro_auroc(truth: np.ndarray, margins: np.ndarray) -> float:
    """Return the mean area under the curve of the labels that occur and are absent."""
    areas = [auroc(truth[:, n], margins[:, n]) for n in range(truth.shape[1])]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else float("nan")


def ct(number: int, first: int, **loading: str | None) -> dict[str, Any]:
    """Score findings, slices and drafts on held-out chests."""
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32", **loading)
    truth, margins, near, chance_near, uniform_near, others, drafts = [], [], [], [], [], [], []
    for seed in held_out(split_of, number, first):
        chest = labelled_chest(seed)
        with tempfile.TemporaryDirectory() as folder:
            write_dicom_series(chest.phantom, Path(folder) / "series")
            result = pipeline(Path(folder) / "series")
        truth.append([label in chest.labels for label in LABELS])
        margins.append([result.abnormalities[label].yes_logit_margin for label in LABELS])
        others.append(
            [
                item.yes_logit_margin > 0
                for label, item in result.abnormalities.items()
                if label not in LABELS
            ]
        )
        said = {label for label in LABELS if label.lower() in result.impression.lower()}
        drafts.append(said == set(chest.labels))
        slices = chest.phantom.hu.shape[0]
        for finding in chest.planted:
            item = result.abnormalities[finding.label]
            if finding.label in FOCAL and item.yes_logit_margin > 0:
                good = {n + step for n in finding.slices for step in (-1, 0, 1)}
                good &= set(range(slices))
                near.append(item.attended_slices[0].index in good)
                chance_near.append(len(good) / slices)
                uniform_near.append(slices // 2 in good)
        print(len(truth), chest.labels, "|", result.impression, flush=True)
    known, found = np.array(truth), np.array(margins)
    each = {
        label: [
            round(macro_f1(known[:, [n]], found[:, [n]]), 3),
            round(auroc(known[:, n], found[:, n]) or 0, 3),
            int(known[:, n].sum()),
        ]
        for n, label in enumerate(LABELS)
        if known[:, n].any()
    }
    return {
        "phantoms": number,
        "macro_f1": round(macro_f1(known, found), 3),
        "macro_f1_interval": interval(lambda rows: macro_f1(known[rows], found[rows]), number),
        "macro_auroc": round(macro_auroc(known, found), 3),
        "macro_auroc_interval": interval(
            lambda rows: macro_auroc(known[rows], found[rows]), number
        ),
        "f1_auroc_positives": each,
        "never_planted_called": round(float(np.mean(others)), 4),
        "impression_exact": round(float(np.mean(drafts)), 3),
        "top_slice_within_one": round(float(np.mean(near)), 3) if near else None,
        "random_slice_within_one": round(float(np.mean(chance_near)), 3) if near else None,
        "middle_slice_within_one": round(float(np.mean(uniform_near)), 3) if near else None,
        "focal_findings": len(near),
    }


def _exact(told: str, right: str) -> bool:
    return told.strip().rstrip(".").lower() == right.lower()


def scene(number: int, first: int, **loading: str | None) -> dict[str, Any]:
    """Score questions about held-out scenes."""
    pipeline = pipelines.RemoteSensingQA.from_pretrained("demo", dtype="float32", **loading)
    kinds: dict[str, list[bool]] = {}
    for seed in held_out(scene_split, number, first):
        drawn = labelled_scene(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = write_geotiff(drawn, Path(folder) / "scene.tif")
            for question, right in drawn.questions():
                kind = " ".join(question.split()[:2]) if "left of" not in question else "left of"
                told = pipeline(path, question, max_new_tokens=6).text
                kinds.setdefault(kind, []).append(_exact(told, right))
    return _shares(kinds, number)


def slide(number: int, first: int, **loading: str | None) -> dict[str, Any]:
    """Score questions about held-out slides, read as a whole and by a vote over patches."""
    pipeline = pipelines.PathologyQA.from_pretrained("demo", dtype="float32", **loading)
    vote = TilePolicy("vote-patches@1", view_px=pipeline.policy.view_px, max_views=8)
    kinds: dict[str, list[bool]] = {}
    for seed in held_out(slide_split, number, first):
        drawn = labelled_slide(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = write_pyramid(drawn, Path(folder) / "slide.tiff")
            for scope, pairs in drawn.questions().items():
                asked = [question for question, _ in pairs]
                for name, policy in (("joint", None), ("vote", vote)):
                    answers = pipeline.ask(path, asked, policy=policy, max_new_tokens=8)
                    exact = [
                        _exact(a.text, right) for a, (_, right) in zip(answers, pairs, strict=True)
                    ]
                    kinds.setdefault(f"{scope} {name}", []).extend(exact)
    return _shares(kinds, number)


def _shares(kinds: dict[str, list[bool]], number: int) -> dict[str, Any]:
    every = [value for values in kinds.values() for value in values]
    each = {kind: [round(float(np.mean(v)), 3), len(v)] for kind, v in sorted(kinds.items())}
    return {"phantoms": number, "exact": round(float(np.mean(every)), 3), "by_kind": each}


def main() -> None:
    """Run one part and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("ct", "scene", "slide"))
    parser.add_argument("--number", type=int, default=40)
    parser.add_argument("--first", type=int, default=5_000_000, help="seed to begin with")
    parser.add_argument("--quantization", default=None)
    parser.add_argument("--adapter", default=None, help='by default the domain\'s; "none" for none')
    given = parser.parse_args()
    part = {"ct": ct, "scene": scene, "slide": slide}[given.part]
    loading = {"quantization": given.quantization, "adapter": given.adapter}
    print(json.dumps(part(given.number, given.first, **loading), indent=1))


if __name__ == "__main__":
    main()
