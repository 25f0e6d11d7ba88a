#!/usr/bin/env python3
"""Draw the README's picture: what a model is shown of the packaged example CT.

    python scripts/readme_picture.py [FILE]

The test suite draws it anew and compares it with the file in the repository.
"""

import sys
from pathlib import Path

from PIL import Image

from longllava_domains import ct
from longllava_domains.visual.contact_sheet import contact_sheet

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/example_views.png"


def draw(path: Path) -> None:
    """Write the contact sheet of the example: lung and mediastinal windows, a slice every 45 mm."""
    volume = ct.open_volume(ROOT / "examples/chest_phantom")
    policy = ct.SlicePolicy(spacing_mm=45.0, windows=(ct.LUNG, ct.MEDIASTINUM))
    views = volume.to_sequence(policy)
    sheet = contact_sheet(views, columns=len(views) // 2, cell_px=144)
    grey = sheet.quantize(colors=64, dither=Image.Dither.NONE)  # a small file
    grey.save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
