#!/usr/bin/env python3
"""Draw the README's pictures: what a model is shown of the packaged example CT, and where it looked.

    python scripts/readme_picture.py

The test suite draws them anew and compares them with the files in the repository.
"""

from pathlib import Path

from PIL import Image

from longllava_domains import ct, pipelines
from longllava_domains.visual.contact_sheet import contact_sheet

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/images"


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


def _save(sheet: Image.Image, path: Path) -> None:
    grey = sheet.quantize(colors=64, dither=Image.Dither.NONE)  # a small file
    grey.save(path, optimize=True)


DRAWN = {"example_views.png": draw_views, "example_evidence.png": draw_evidence}


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        draw(PICTURES / name)
