"""A needle in a haystack of frames: how deep, and among how many, a model still sees one picture.

The grid of V-NIAH (arXiv 2406.16852) as LongLLaVA's figure has it: 100 to 1,200 frames, depths
0.2 to 1. The needles and frames are generated, or the user's own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from longllava_domains.adapters.data.pictures import ImageFile
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pipelines.measures.pictures import COLOURS, disc_frame, haystack, view
from longllava_domains.pipelines.measures.trials import Trial
from longllava_domains.visual import View, VisualSequence

FRAMES: Final = tuple(range(100, 1201, 100))
DEPTHS: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
QUESTION: Final = "One frame shows a coloured disc. Which colour is it? Answer with one word."
_SUFFIXES: Final = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Needle:
    """One picture to be found, and what is asked about it.

    Attributes:
        show: Makes its view.
        question: What is asked.
        choices: Answers to choose from.
        truth: The right one.
    """

    show: Callable[[], View]
    question: str
    choices: tuple[str, ...]
    truth: str


def needle_trials(
    frames: Sequence[int],
    depths: Sequence[float],
    *,
    view_px: int,
    seed: int = 0,
    data: Path | None = None,
) -> list[Trial]:
    """Return a trial for each number of frames, depth and needle.

    Args:
        frames: Numbers of frames, the needle included, 2 or more.
        depths: Shares of the haystack in front of the needle, 0 to 1.
        view_px: Side of generated frames.
        seed: Of generated frames.
        data: Folder of the user's own: pictures below ``frames/`` (in order of name, repeated where
            there are too few) and ``needles.json``, a list of ``image``, ``question``, ``choices``
            and ``answer``; None for generated ones.

    Raises:
        PolicyError: A number of frames or a depth that cannot be.
        NotFoundError: The folder lacks frames or needles.
        DamagedInputError: ``needles.json`` is another file.
    """
    require_grid(frames, depths)
    needles, frame = _generated(view_px, seed) if data is None else _from_folder(data)
    return [
        Trial(
            name=f"{count}/{depth}/{number}",
            point=point_name(count, depth),
            show=_sequence(frame, needle, count, depth),
            question=needle.question,
            choices=needle.choices,
            truth=needle.truth,
        )
        for count in frames
        for depth in depths
        for number, needle in enumerate(needles)
    ]


def require_grid(frames: Sequence[int], depths: Sequence[float], data: Path | None = None) -> None:
    """Refuse what `needle_trials` would refuse, before a model is there.

    Args:
        frames: As there.
        depths: As there.
        data: As there.

    Raises:
        LongLlavaError: As there.
    """
    few = [count for count in frames if count < 2]
    if few or not frames:
        raise PolicyError(
            f"A needle needs two frames or more, and --frames has {few[0] if few else 'none'}.",
            remedy="Give --frames such as 100,200.",
            code="measure.grid",
        )
    outside = [depth for depth in depths if not 0 <= depth <= 1]
    if outside or not depths:
        raise PolicyError(
            f"A depth is from 0 to 1, and --depths has {f'{outside[0]:g}' if outside else 'none'}.",
            remedy="Give --depths such as 0.2,0.6,1.",
            code="measure.grid",
        )
    if data is not None:
        _from_folder(data)


def point_name(frames: int, depth: float) -> str:
    """Return the name of a cell of the grid."""
    return f"{frames} frames, depth {depth:g}"


def _sequence(
    frame: Callable[[int], View], needle: Needle, count: int, depth: float
) -> Callable[[], VisualSequence]:
    def show() -> VisualSequence:
        at = round(depth * (count - 1))
        views = [frame(number) for number in range(count - 1)]
        return VisualSequence((*views[:at], needle.show(), *views[at:]), layout="temporal")

    return show


def _generated(view_px: int, seed: int) -> tuple[list[Needle], Callable[[int], View]]:
    def frame(number: int) -> View:
        return view(haystack(number + 2, view_px, seed))

    def shown(colour: str) -> Callable[[], View]:
        return lambda: view(disc_frame(colour, view_px, seed))

    needles = [Needle(shown(name), QUESTION, tuple(COLOURS), name) for name in COLOURS]
    return needles, frame


def _from_folder(data: Path) -> tuple[list[Needle], Callable[[int], View]]:
    pictures = sorted(p for p in (data / "frames").glob("*") if p.suffix.lower() in _SUFFIXES)
    table = data / "needles.json"
    if not pictures or not table.is_file():
        raise NotFoundError(
            "The folder lacks frames or needles.",
            remedy="Put pictures into frames/ and a list into needles.json.",
            code="measure.needles",
        )
    try:
        needles = [
            Needle(_shown(data / row["image"]), str(row["question"]),
                   tuple(map(str, row["choices"])), str(row["answer"]))
            for row in json.loads(table.read_bytes())
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError):
        needles = []
    if not needles or any(needle.truth not in needle.choices for needle in needles):
        raise DamagedInputError(
            "needles.json is no list of image, question, choices and one of them as the answer.",
            remedy='Write rows such as {"image": "n.png", "question": "?", "choices": ["a", "b"], '
            '"answer": "a"}.',
            code="measure.needles",
        )
    return needles, lambda number: _shown(pictures[number % len(pictures)])()


def _shown(path: Path) -> Callable[[], View]:
    def show() -> View:
        (image,) = ImageFile(path, path.name).load()
        return view(np.asarray(image))

    return show
