"""Draw the scenes and slides that the demonstration model learns from, through the views of the pipelines."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.labelled_scene import (
    OBJECTS,
    LabelledScene,
    labelled_scene,
    scene_split,
)
from longllava_domains.adapters.phantoms.labelled_slide import (
    TISSUES,
    LabelledSlide,
    labelled_slide,
    slide_split,
)
from longllava_domains.adapters.phantoms.scene_files import write_geotiff, write_pyramid
from longllava_domains.model.network.preprocess import _square
from longllava_domains.pathology import TilePolicy, open_slide
from longllava_domains.pipelines.pathology.qa import tile_policy
from longllava_domains.pipelines.remote_sensing.qa import grid_policy
from longllava_domains.remote_sensing import open_raster
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import VisualSequence

VIEW_PX, TOKENS_PER_VIEW, TRAINED_TOKENS = 112, 4, 4096
FORMAT = ViewFormat(VIEW_PX, TOKENS_PER_VIEW, TRAINED_TOKENS)
CLASSES = (*OBJECTS, *TISSUES, "mitosis")
_SEEN_PX = 12  # a mitosis counts where its middle is this far inside a view


def scene_views(scene: LabelledScene, folder: Path) -> VisualSequence:
    """Return the views that `RemoteSensingQA` would show."""
    with open_raster(write_geotiff(scene, folder / "scene.tif")) as raster:
        return raster.to_sequence(grid_policy(FORMAT))


def slide_views(
    slide: LabelledSlide, folder: Path, policy: TilePolicy | None = None
) -> VisualSequence:
    """Return the views that `PathologyQA` would show."""
    with open_slide(write_pyramid(slide, folder / "slide.tiff")) as opened:
        return opened.to_sequence(policy or tile_policy(FORMAT))


def squares(sequence: VisualSequence) -> NDArray[np.uint8]:
    """Return (views, 112, 112, 3): the views as the tower gets them."""
    shown = [_square(view, VIEW_PX) for view in sequence]
    return np.stack([np.broadcast_to(pixels, (VIEW_PX, VIEW_PX, 3)) for pixels in shown])


def scene_marks(scene: LabelledScene) -> NDArray[np.bool_]:
    """Return bool (classes, rows, columns): where a scene shows each class."""
    marks = np.zeros((len(CLASSES), *scene.rgb.shape[:2]), np.bool_)
    for item in scene.objects:
        left, top, right, bottom = (round(edge) for edge in item.box_px)
        marks[CLASSES.index(item.name), max(top, 0) : bottom, max(left, 0) : right] = True
    return marks


def _slide_marks(slide: LabelledSlide) -> NDArray[np.bool_]:
    marks = np.zeros((len(CLASSES), *slide.rgb.shape[:2]), np.bool_)
    for number, name in enumerate(TISSUES):
        marks[CLASSES.index(name)] = slide.tissue == number
    rows, columns = np.mgrid[: slide.rgb.shape[0], : slide.rgb.shape[1]]
    for x, y in slide.mitoses:
        marks[CLASSES.index("mitosis")] |= (rows - y) ** 2 + (columns - x) ** 2 <= 13**2
    return marks


def covered(
    marks: NDArray[np.bool_], window: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """Return in 255ths the share of each of 8 x 8 squares of a square view that each class covers.

    Args:
        marks: bool (classes, rows, columns).
        window: Left, top, width and height of the view, padded to a square about its middle.
    """
    left, top, width, height = window
    side = max(width, height)
    left, top = left - (side - width) / 2, top - (side - height) / 2
    steps = np.floor((np.arange(64) + 0.5) / 64 * side).astype(int)
    rows, columns = steps + round(top), steps + round(left)
    inside = np.ix_(
        (rows >= 0) & (rows < marks.shape[1]), (columns >= 0) & (columns < marks.shape[2])
    )
    picked = np.zeros((len(marks), 64, 64), np.bool_)
    kept = marks[:, rows[(rows >= 0) & (rows < marks.shape[1])]][
        :, :, columns[(columns >= 0) & (columns < marks.shape[2])]
    ]
    for number in range(len(marks)):
        picked[number][inside] = kept[number]
    return np.rint(255 * picked.reshape(len(marks), 8, 8, 8, 8).mean((2, 4))).astype(np.uint8)


def _example(kind: str, seed: int, folder: Path) -> dict[str, Any]:
    if kind == "scene":
        scene = labelled_scene(seed)
        sequence, marks = scene_views(scene, folder), scene_marks(scene)
        windows = [(v.place.column, v.place.row, v.place.width, v.place.height) for v in sequence]
        facts: dict[str, Any] = {
            "questions": scene.questions(),
            "boxes": [[item.name, *item.box_px, scene.rgb.shape[0]] for item in scene.objects],
        }
    else:
        slide = labelled_slide(seed)
        sequence, marks = slide_views(slide, folder), _slide_marks(slide)
        windows = [(v.place.x, v.place.y, v.place.width, v.place.height) for v in sequence]
        facts = {**slide.questions(), "pieces": slide.pieces}
    return {
        "pictures": squares(sequence),
        "covered": np.stack([covered(marks, window) for window in windows]),
        "facts": {**facts, "seed": seed, "grid": sequence.grid, "layout": sequence.layout},
    }


def _training_seeds(kind: str, first: int) -> Iterator[int]:
    split: Callable[[int], str] = scene_split if kind == "scene" else slide_split
    seed = first
    while True:
        if split(seed) == "train":
            yield seed
        seed += 1


def draw(folder: Path, kind: str, first: int, number: int) -> Path:
    """Draw so many training phantoms into one file; done once."""
    path = folder / f"{kind}_{first}_{number}.npz"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory() as scratch:
        seeds = _training_seeds(kind, first)
        made = [_example(kind, next(seeds), Path(scratch)) for _ in range(number)]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        lengths=np.array([len(one["pictures"]) for one in made]),
        pictures=np.concatenate([one["pictures"] for one in made]),
        covered=np.concatenate([one["covered"] for one in made]),
        facts=np.array(json.dumps([one["facts"] for one in made])),
    )
    partial.rename(path)
    return path


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
