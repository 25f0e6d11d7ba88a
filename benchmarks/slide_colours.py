"""Colours of DICOM slides: every codec, tag and transform, ours and OpenSlide's beside the truth.

    python benchmarks/slide_colours.py

Makes a slide of the tests' synthetic tissue for {JPEG, JPEG 2000, JPEG-LS} x {RGB, YBR_FULL_422,
YBR_ICT, YBR_RCT} x {samples as RGB, or converted to YCbCr before} x {component transform of the
codec on, off}, reads it with both, and prints the mean colour of its glass (244, 240, 242) and the
mean difference of all pixels. Samples that were converted and then transformed again by the codec
as if they were RGB come back as they were put in. JPEG-LS has no transform here.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/builders"))
import slide_builder as builder

from longllava_domains.errors import LongLlavaError
from longllava_domains.pathology import open_slide

TAGS = ("RGB", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
IMAGE = builder.tissue(300, 260, seed=5)
RIGHT = 1.5


def main() -> None:
    """Print the table."""
    print("codec     tag           samples  transform  ours                openslide")
    wrong = 0
    for codec, tag, ycbcr, transform in cases():
        with tempfile.TemporaryDirectory() as folder:
            path = builder.dicom(
                Path(folder) / "slide", IMAGE, factors=(1,), codec=codec, photometric=tag,
                ycbcr=ycbcr, transform=transform,
            )  # fmt: skip
            found, other = ours(path), openslides(path)
        wrong += not is_right(found)
        samples = "YCbCr" if ycbcr else "RGB"
        print(
            f"{codec:9} {tag:13} {samples:8} {'on' if transform else 'off':10} "
            f"{told(found):19} {told(other)}"
        )
    print(f"ours wrong: {wrong}")


def cases() -> Iterator[tuple[str, str, bool, bool]]:
    """Yield codec, tag, converted before, transformed by the codec."""
    for codec in ("jpeg", "jpeg2000", "jpeg-ls"):
        for tag in TAGS:
            for ycbcr in (False, True):
                for transform in (False, True) if codec != "jpeg-ls" else (False,):
                    if not (ycbcr and transform):  # converted twice: no scanner does it
                        yield codec, tag, ycbcr, transform


def ours(path: Path) -> np.ndarray | None:
    """Return our pixels; None where we refuse."""
    try:
        with open_slide(path) as slide:
            return slide.read(0, 0, 300, 260, mpp=slide.mpp)
    except LongLlavaError:
        return None


def openslides(path: Path) -> np.ndarray | None:
    """Return OpenSlide's pixels; None where it refuses."""
    import openslide

    try:
        with openslide.OpenSlide(path / "PLANTED_1.dcm") as slide:
            return np.asarray(slide.read_region((0, 0), 0, (300, 260)).convert("RGB"))
    except openslide.OpenSlideError:
        return None


def is_right(found: np.ndarray | None) -> bool:
    """Return whether the colours are the true ones."""
    return found is not None and float(np.abs(found.astype(int) - IMAGE).mean()) < RIGHT


def told(found: np.ndarray | None) -> str:
    """Spell a result: right, or the colour of glass that it shows."""
    if found is None:
        return "refused"
    if is_right(found):
        return "right"
    red, green, blue = found[:40, :40].mean(axis=(0, 1)).round().astype(int)
    return f"glass {red},{green},{blue}"


if __name__ == "__main__":
    main()
