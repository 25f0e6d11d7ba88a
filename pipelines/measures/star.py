"""Figure 8 of the LongLLaVA paper: questions about large scenes, seen whole and in sub-images."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from longllava_domains.errors import DamagedInputError, NotFoundError
from longllava_domains.pipelines.measures.pictures import COLOURS, haystack, with_disc
from longllava_domains.pipelines.measures.trials import Trial
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.vision_language import ViewFormat
from longllava_domains.visual import VisualSequence

WHOLE, SUB_IMAGES = "whole", "sub-images"
# Pixels (width, height) of the two scenes, as the paper gives them.
_SIZES_PX: Final = ((1024, 768), (3327, 4083))
_QUESTION: Final = "What colour is the small disc? Answer with one word."
_TABLE: Final = "questions.json"


def star_trials(
    view_format: ViewFormat, scratch: Path, *, seed: int = 0, data: Path | None = None
) -> list[Trial]:
    """Return each question twice: about the scene as one view, and as a view with its tiles.

    Args:
        view_format: Of the model that looks.
        scratch: Folder for generated scenes.
        seed: Of generated scenes.
        data: Folder of the user's own: scenes and ``questions.json``, a list of ``image``,
            ``question``, ``choices`` and ``answer``; None for generated scenes of the paper's sizes,
            each with a disc too small to be told in the whole view.

    Raises:
        NotFoundError: The folder lacks its questions.
        DamagedInputError: ``questions.json`` is another file.
    """
    asked = _generated(scratch, seed) if data is None else _from_folder(data)
    return [
        Trial(f"{name}/{number}", name, show(path, view_format), question, choices, truth)
        for number, (path, question, choices, truth) in enumerate(asked)
        for name, show in ((WHOLE, _whole), (SUB_IMAGES, _tiled))
    ]


def _policy(view_format: ViewFormat) -> GridPolicy:
    return GridPolicy(
        tile_px=view_format.view_px,
        global_px=view_format.view_px,
        tokens_per_view=view_format.tokens_per_view,
    )


def _tiled(path: Path, view_format: ViewFormat) -> Callable[[], VisualSequence]:
    def show() -> VisualSequence:
        with open_raster(str(path)) as raster:
            return raster.to_sequence(_policy(view_format))

    return show


def _whole(path: Path, view_format: ViewFormat) -> Callable[[], VisualSequence]:
    def show() -> VisualSequence:
        """Return the global view alone, which every sequence of tiles begins with."""
        with open_raster(str(path)) as raster:
            first, *_ = raster.to_sequence(_policy(view_format).within_views(2))
        return VisualSequence((first,))

    return show


def _generated(scratch: Path, seed: int) -> list[tuple[Path, str, tuple[str, ...], str]]:
    found = []
    for number, ((width, height), colour) in enumerate(zip(_SIZES_PX, COLOURS, strict=False)):
        path = scratch / f"scene-{seed}-{number}.png"
        if not path.is_file():
            rng = np.random.default_rng((seed, number))
            centre = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
            side = max(width, height)
            pixels = haystack(number, side, seed)[:height, :width]
            Image.fromarray(with_disc(pixels, colour, side / 75, centre)).save(path)
        found.append((path, _QUESTION, tuple(COLOURS), colour))
    return found


def _from_folder(data: Path) -> list[tuple[Path, str, tuple[str, ...], str]]:
    table = data / _TABLE
    if not table.is_file():
        raise NotFoundError(
            f"The folder of STAR lacks {_TABLE}.",
            remedy="Put the scenes and a list of their questions there.",
            code="reproduce.star",
        )
    try:
        found = [_row(data, row) for row in json.loads(table.read_bytes())]
    except (ValueError, KeyError, TypeError):
        found = []
    if not found or any(truth not in choices for _, _, choices, truth in found):
        raise DamagedInputError(
            f"{_TABLE} is no list of image, question, choices and one of them as the answer.",
            remedy='Write rows such as {"image": "scene.png", "question": "?", "choices": ["a", "b"], '
            '"answer": "a"}.',
            code="reproduce.star",
        )
    return found


def _row(data: Path, row: dict[str, Any]) -> tuple[Path, str, tuple[str, ...], str]:
    choices: Sequence[Any] = row["choices"]
    return data / row["image"], str(row["question"]), tuple(map(str, choices)), str(row["answer"])
