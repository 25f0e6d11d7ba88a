"""Tables of questions as MultiPathQA and SlideBench have them, beside small drawn slides."""

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from longllava_domains.extras import require_extra

_ORGANS: Final = ("Lung", "Liver", "Skin")
_GLASS: Final = (243, 240, 242)
_STAINS: Final = ((222, 150, 195), (190, 120, 160), (235, 190, 205))
_MPP: Final = 0.5
_SIDE: Final = 1024
_TILE: Final = 256


def write_slide_questions(benchmark: str, folder: Path, size: int) -> None:
    """Write the table and the slides, tiled TIFF with two levels: each organ has its own stain."""
    rows: list[dict[str, Any]] = []
    for number in range(size):
        organ = number % len(_ORGANS)
        name = f"phantom-{number:02d}"
        _write_slide(folder / "slides" / f"{name}.tif", organ, seed=number)
        if benchmark == "multipathqa":
            rows.append({"benchmark_name": "gtex", "file_id": f"{name}.tif", "options": str(list(_ORGANS)),
                         "answer": str(organ + 1), "metric_type": "balanced_accuracy",
                         "prompt": "Which organ is this?\n{options}\nAnswer with its number."})  # fmt: skip
        else:
            rows.append({"ID": number, "Slide": name, "Broad Category": "Microscopy",
                         "Question": "Which organ is this?", **dict(zip("ABC", _ORGANS, strict=True)),
                         "D": "", "Answer": "ABC"[organ]})  # fmt: skip
    table = "MultiPathQA.csv" if benchmark == "multipathqa" else "SlideBench-VQA-TCGA.csv"
    with (folder / table).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_slide(path: Path, organ: int, seed: int) -> None:
    require_extra("pathology")
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (_SIDE, _SIDE), _GLASS)
    draw = ImageDraw.Draw(image)
    box = (_SIDE * 0.15, _SIDE * 0.2, _SIDE * 0.85, _SIDE * 0.75)
    draw.ellipse(box, fill=_STAINS[organ])
    rng = np.random.default_rng(seed)
    for x, y in rng.uniform(0.25 * _SIDE, 0.7 * _SIDE, (600 * (organ + 1), 2)):
        draw.ellipse((x - 4, y - 3, x + 4, y + 3), fill=(96, 58, 142))
    pixels = np.asarray(image)
    how: dict[str, Any] = {
        "tile": (_TILE, _TILE), "compression": "jpeg", "photometric": "rgb", "metadata": None,
        "resolution": (1e4 / _MPP, 1e4 / _MPP), "resolutionunit": "CENTIMETER",
    }  # fmt: skip
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, **how)
        small = np.asarray(image.resize((_SIDE // 4, _SIDE // 4), Image.Resampling.BOX))
        file.write(small, subfiletype=1, **how)
