"""Draw chips of scenes, as a search for boxes cuts them, with the boxes of what each chip shows."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from picture_stage import VIEW_PX, covered, scene_marks

from longllava_domains.adapters.phantoms.labelled_scene import (
    LabelledScene,
    PlantedObject,
    labelled_scene,
    scene_split,
)
from longllava_domains.boxes import Box

CHIPS = 12  # of a scene
NEAR_OBJECTS = 9  # of those; the others fall anywhere
SHOWN = 0.5  # least part of an object that makes it one of a chip's

Corner = tuple[int, int]
Edges = list[float]  # middle from the left and from the top, width and height, per cent of a view


def draw(folder: Path, first: int, scenes: int) -> Path:
    """Draw the chips of so many training scenes into one file; done once."""
    path = folder / f"chip_{first}_{scenes}.npz"
    if path.exists():
        return path
    pictures, shown, facts = [], [], []
    for seed in _training_seeds(first, scenes):
        scene = labelled_scene(seed)
        marks = scene_marks(scene)
        corners = _corners(scene, np.random.default_rng((20261130, seed)))
        pictures += [scene.rgb[y : y + VIEW_PX, x : x + VIEW_PX] for x, y in corners]
        shown += [covered(marks, (*corner, VIEW_PX, VIEW_PX)) for corner in corners]
        facts.append({"grid": None, "chips": [boxes_of(scene, corner) for corner in corners]})
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        lengths=np.full(scenes, CHIPS),
        pictures=np.stack(pictures),
        covered=np.stack(shown),
        facts=np.array(json.dumps(facts)),
    )
    partial.rename(path)
    return path


def boxes_of(scene: LabelledScene, corner: Corner) -> dict[str, list[Edges]]:
    """Return what a chip shows: kind of object -> its boxes."""
    found: dict[str, list[Edges]] = {}
    for item in scene.objects:
        edges = _clipped(item, corner)
        if edges is not None:
            found.setdefault(item.name, []).append(edges)
    return found


def spelled(boxes: list[Edges]) -> list[Box]:
    """Return boxes in whole per cent, from top to bottom: what a view of 112 pixels can tell."""
    whole = sorted((round(cy), round(cx), round(w), round(h)) for cx, cy, w, h in boxes)
    return [Box.upright(cx, cy, w, h) for cy, cx, w, h in whole]


def _training_seeds(first: int, number: int) -> Iterator[int]:
    seed = first
    while number:
        if scene_split(seed) == "train":
            number -= 1
            yield seed
        seed += 1


def _corners(scene: LabelledScene, chance: np.random.Generator) -> list[Corner]:
    """Return left and top of each chip: most have the middle of an object in them."""
    room = scene.rgb.shape[0] - VIEW_PX
    found = []
    for number in range(CHIPS):
        x, y = chance.integers(0, room + 1, 2)
        if scene.objects and number < NEAR_OBJECTS:
            left, top, right, bottom = scene.objects[chance.integers(len(scene.objects))].box_px
            shift = chance.triangular(0.0, 0.5, 1.0, 2) * VIEW_PX
            x, y = np.clip(((left + right) / 2 - shift[0], (top + bottom) / 2 - shift[1]), 0, room)
        found.append((int(x), int(y)))
    return found


def _clipped(item: PlantedObject, corner: Corner) -> Edges | None:
    """Return the part of an object that a chip shows, None where that is less than `SHOWN`."""
    edges = np.array(item.box_px) - np.array([*corner, *corner])
    left, top, right, bottom = (float(edge) for edge in np.clip(edges, 0, VIEW_PX))
    width, height = edges[2] - edges[0], edges[3] - edges[1]
    if (right - left) * (bottom - top) < SHOWN * width * height:
        return None
    per_cent = 100 / VIEW_PX
    middle = (left + right) / 2 * per_cent, (top + bottom) / 2 * per_cent
    return [*middle, (right - left) * per_cent, (bottom - top) * per_cent]
