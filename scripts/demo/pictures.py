"""Read the drawn phantoms: pictures, what each shows, and the facts for questions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longllava_domains.adapters.phantoms.chest_findings import PLANTERS
from longllava_domains.adapters.phantoms.labelled_scene import OBJECTS
from longllava_domains.adapters.phantoms.labelled_slide import TISSUES
from longllava_domains.model.network.preprocess import CLIP_MEAN, CLIP_STD

LABELS = tuple(PLANTERS)
CLASSES = (*LABELS, *OBJECTS, *TISSUES, "mitosis")
COUNTED = (*OBJECTS, "pieces of tissue")
NOT_COUNTED = -1


@dataclass(frozen=True)
class Pictures:
    """All drawn examples of one kind.

    Attributes:
        kind: ``"chest"``, ``"scene"`` or ``"slide"``.
        pictures: uint8 (views, 112, 112) or (views, 112, 112, 3).
        covered: uint8 (views, all classes, 8, 8), 255ths.
        counts: int8 (views, counted things), -1 where a view does not tell.
        starts: First view of each example, and one past the last of all.
        facts: One for each example.
    """

    kind: str
    pictures: NDArray[np.uint8]
    covered: NDArray[np.uint8]
    counts: NDArray[np.int8]
    starts: NDArray[np.int64]
    facts: list[dict[str, Any]]


def read(
    folder: Path, kind: str, names: list[str] | None = None, *, pictures: bool = True
) -> Pictures:
    """Read every file of a kind, or those named, in the order of their names.

    Args:
        folder: Where `chest_stage` and `picture_stage` wrote.
        kind: ``"chest"``, ``"scene"`` or ``"slide"``.
        names: Of the files; all by default.
        pictures: False leaves the pictures out, which need most of the memory.
    """
    every = (path for path in folder.glob(f"{kind}_*.npz") if "partial" not in path.name)
    files = sorted(path for path in every if names is None or path.name in names)
    loaded = [_opened(path, pictures) for path in files]
    lengths = np.concatenate([one["lengths"] for one in loaded])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    own = np.concatenate([one["covered"] for one in loaded])
    covered = np.zeros((len(own), len(CLASSES), 8, 8), np.uint8)
    first = 0 if kind == "chest" else len(LABELS)
    covered[:, first : first + own.shape[1]] = own
    if kind == "chest":
        planted = np.concatenate([one["planted"] for one in loaded])
        facts: list[dict[str, Any]] = [
            {"labels": [label for label, there in zip(LABELS, row, strict=True) if there]}
            for row in planted
        ]
    else:
        facts = [fact for one in loaded for fact in json.loads(str(one["facts"]))]
    counts = np.full((len(own), len(COUNTED)), NOT_COUNTED, np.int8)
    for number, fact in enumerate(facts):
        if kind == "scene":
            names = [box[0] for box in fact["boxes"]]
            counts[starts[number], : len(OBJECTS)] = [names.count(name) for name in OBJECTS]
        elif kind == "slide":
            counts[starts[number], -1] = fact["pieces"]
    return Pictures(
        kind, np.concatenate([one["pictures"] for one in loaded]), covered, counts, starts, facts
    )


def normalised(pictures: NDArray[np.uint8]) -> Tensor:
    """Return float32 (views, 3, side, side) as `preprocess.pixel_values` does."""
    colour = (
        pictures
        if pictures.ndim == 4
        else np.broadcast_to(pictures[..., None], (*pictures.shape, 3))
    )
    scaled = torch.from_numpy(np.ascontiguousarray(colour)).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


def _opened(path: Path, pictures: bool) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        found = {name: file[name] for name in file.files if pictures or name != "pictures"}
    return {"pictures": np.zeros(0, np.uint8), **found}
