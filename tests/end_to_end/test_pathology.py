"""One piece of tissue, stored in many ways: each view shows the same tissue, or it is refused.

Format, codec, pyramid, order of tiles, direction and scale are changed at the source. What a model
is shown, read back at the views' places, is always the same tissue.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import slide_builder as builder
from hypothesis import given, settings
from hypothesis import strategies as st
from other_family import OtherModel

from longllava_domains.errors import LongLlavaError
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pipelines import PathologyQA
from longllava_domains.visual import SlidePlace, VisualSequence

WIDTH, HEIGHT = 640, 512
TISSUE = builder.tissue(WIDTH, HEIGHT, seed=5)
POLICY = TilePolicy("native-tiles@1", mpp=builder.MPP, view_px=64)

Writer = Callable[[Path, builder.Rgb, float], Path]
WRITERS: dict[str, Writer] = {
    "tiff": lambda to, image, mpp: builder.tiff(to / "a.tiff", image, mpp=mpp),
    "tiff, one level": lambda to, image, mpp: builder.tiff(
        to / "a.tiff", image, mpp=mpp, factors=()
    ),
    "tiff, levels below": lambda to, image, mpp: builder.tiff(
        to / "a.tiff", image, mpp=mpp, subifds=True
    ),
    "tiff, deflate": lambda to, image, mpp: builder.tiff(
        to / "a.tiff", image, mpp=mpp, compression="deflate", compressionargs={}
    ),
    "svs": lambda to, image, mpp: builder.svs(to / "a.svs", image, mpp=mpp),
    "ome": lambda to, image, mpp: builder.ome(to / "a.ome.tiff", image, mpp=mpp),
    "ome, millimetres": lambda to, image, mpp: builder.ome(
        to / "a.ome.tiff", image, mpp=mpp / 1000, unit="mm"
    ),
    "dicom": lambda to, image, mpp: builder.dicom(to / "a", image, mpp=mpp),
    "dicom, frames backwards": lambda to, image, mpp: builder.dicom(
        to / "a", image, mpp=mpp, sparse=True
    ),
}


def shown(path: Path) -> VisualSequence:
    """Return what `PathologyQA` showed its model."""
    with open_slide(path) as slide:
        return PathologyQA(OtherModel(), policy=POLICY)(slide, "What is this?").sequence


def read_back(sequence: VisualSequence, size: tuple[int, int], scale: int) -> tuple[Any, Any]:
    """Return level 0 as the views show it, and where it was shown."""
    canvas, seen = np.zeros((*size, 3), np.uint8), np.zeros(size, bool)
    for view in sequence:
        place = view.place
        assert isinstance(place, SlidePlace)
        assert place.mpp == pytest.approx(builder.MPP, rel=0.01)
        pixels = view.pixels.repeat(scale, axis=0).repeat(scale, axis=1)
        pixels = pixels[: size[0] - place.y, : size[1] - place.x]
        here = np.s_[place.y : place.y + pixels.shape[0], place.x : place.x + pixels.shape[1]]
        canvas[here], seen[here] = pixels, True
    return canvas, seen


def dark(image: np.ndarray) -> np.ndarray:
    """Return where tissue is: far darker in green than glass."""
    return image[..., 1] < 200


def difference(found: np.ndarray, expected: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean difference of the samples that were shown."""
    return float(np.abs(found[seen].astype(int) - expected[seen]).mean())


@given(
    kind=st.sampled_from(sorted(WRITERS)),
    mirrored=st.booleans(),
    upside_down=st.booleans(),
    scale=st.sampled_from([1, 2]),
)
@settings(max_examples=20, deadline=None)
def test_every_storage_of_one_tissue_shows_the_same_tissue(
    kind: str, mirrored: bool, upside_down: bool, scale: int
) -> None:
    way = (slice(None, None, -1 if upside_down else 1), slice(None, None, -1 if mirrored else 1))
    stored = np.ascontiguousarray(TISSUE[way].repeat(scale, axis=0).repeat(scale, axis=1))
    with TemporaryDirectory() as folder:
        sequence = shown(WRITERS[kind](Path(folder), stored, builder.MPP / scale))
    canvas, seen = read_back(sequence, stored.shape[:2], scale)
    assert seen[dark(stored)].mean() > 0.95
    in_place = difference(canvas, stored, seen)
    moved = [
        difference(canvas, np.roll(stored, step * scale, axis), seen)
        for step in (-1, 1)
        for axis in (0, 1)
    ]
    assert in_place < 3  # what JPEG loses
    assert in_place < 0.9 * min(moved)  # half a pixel off would make them equal


@pytest.mark.parametrize("kind", ["tiff", "svs", "ome", "dicom"])
def test_tissue_of_unknown_scale_is_refused(kind: str, tmp_path: Path) -> None:
    writer = {"tiff": builder.tiff, "svs": builder.svs, "ome": builder.ome}.get(kind)
    path = (
        builder.dicom(tmp_path / "a", TISSUE, mpp=None)
        if writer is None
        else writer(tmp_path / f"a.{kind}".replace("ome", "ome.tiff"), TISSUE, mpp=None)
    )
    with pytest.raises(LongLlavaError) as caught:
        shown(path)
    assert "mpp" in caught.value.code or "resolution" in str(caught.value)
