#!/usr/bin/env python3
"""Draw the pictures of README and docs: what a model is shown, where it looked, and what it found.

    python scripts/readme_picture.py

The test suite draws them anew and compares them with the files in the repository.
"""

import itertools
import tempfile
from pathlib import Path

from PIL import Image

from longllava_domains import ct, pipelines
from longllava_domains.adapters.phantoms import labelled_scene, labelled_slide
from longllava_domains.adapters.phantoms.labelled_slide import slide_split
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid
from longllava_domains.remote_sensing import open_raster
from longllava_domains.visual.contact_sheet import contact_sheet

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/images"
SCENE_SEED = 8_000_003  # the one that docs/remote_sensing.md searches
FIRST_SLIDE_SEED = 8_000_000


def draw_views(path: Path) -> None:
    """Write the contact sheet of the example: lung and mediastinal windows, a slice every 45 mm."""
    volume = ct.open_volume(ROOT / "examples/chest_phantom")
    policy = ct.SlicePolicy(spacing_mm=45.0, windows=(ct.LUNG, ct.MEDIASTINUM))
    views = volume.to_sequence(policy)
    sheet = contact_sheet(views, columns=len(views) // 2, cell_px=144)
    _save(sheet, path)


def draw_evidence(path: Path) -> None:
    """Write the slices that the demonstration model looked at most for the two planted findings."""
    pipeline = pipelines.CTReport.from_pretrained("demo", dtype="float32")
    result = pipeline(ROOT / "examples/chest_phantom", max_new_tokens=0)
    above, below = (result.evidence(label) for label in ("Lung nodule", "Pleural effusion"))
    both = Image.new("RGB", (max(above.width, below.width), above.height + below.height))
    both.paste(above, (0, 0))
    both.paste(below, (0, above.height))
    _save(both, path)


def draw_scene(path: Path) -> None:
    """Write what the demonstration model calls a building in a drawn scene that shows one."""
    pipeline = pipelines.RemoteSensingQA.from_pretrained("demo", dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        place = write_geotiff(labelled_scene(SCENE_SEED), Path(folder) / "drawn.tif")
        with open_raster(place) as scene:
            _save(pipeline.find(scene, "building").draw(scene), path)


def draw_slide(path: Path) -> None:
    """Write the fields looked at most of the first held-out slide with mitoses, beside random ones."""
    seeds = (seed for seed in itertools.count(FIRST_SLIDE_SEED) if slide_split(seed) == "held-out")
    slide = next(slide for slide in map(labelled_slide, seeds) if slide.mitoses)
    pipeline = pipelines.PathologyQA.from_pretrained("demo", dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        place = write_pyramid(slide, Path(folder) / "drawn.tif")
        answer = pipeline(place, "Is there a mitosis on this slide?", max_new_tokens=8)
        _save(answer.evidence(most=3).show(), path)


def _save(sheet: Image.Image, path: Path) -> None:
    grey = sheet.quantize(colors=64, dither=Image.Dither.NONE)  # a small file
    grey.save(path, optimize=True)


DRAWN = {
    "example_views.png": draw_views,
    "example_evidence.png": draw_evidence,
    "scene_detections.png": draw_scene,
    "slide_fields.png": draw_slide,
}


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        draw(PICTURES / name)
