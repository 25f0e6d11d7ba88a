"""Curves of the LongLLaVA paper on generated data: sub-images, frames, and shots in one session."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.files import new_file, write_text
from longllava_domains.pipelines.measures.needle import needle_trials
from longllava_domains.pipelines.measures.pictures import (
    COLOURS,
    disc_frame,
    haystack,
    view,
    with_disc,
)
from longllava_domains.pipelines.measures.trials import Trial
from longllava_domains.remote_sensing import GridPolicy, open_raster
from longllava_domains.vision_language import TAG_TOKENS, ViewFormat
from longllava_domains.visual import VisualSequence

CURVES: Final = {
    "sub-images": (1, 4, 9, 16, 36, 64),
    "frames": (8, 16, 32, 64, 128, 256),
    "shots": (1, 2, 5, 10, 100, 1000),
}
"""Curve -> its points, as the paper's figures have them where they say."""

_TARGET: Final = "What colour is the small disc? Answer with one word."
_PAIR: Final = "Do the last two images show discs of one colour? Answer with yes or no."
_SIDE_PX: Final = 2016
_HELD_OUT: Final = 8
_FIRST_HELD_OUT: Final = 100_000  # behind every pair that is shown
_VSTAR: Final = "test_questions.jsonl"


def require_curve(curve: str, points: Sequence[int], *, is_generated: bool) -> None:
    """Refuse a curve that cannot be measured.

    Args:
        curve: One of `CURVES`.
        points: Sub-images, frames or shots.
        is_generated: The data are not the user's own.

    Raises:
        PolicyError: There is no such curve, or a point below 1, or shots of own data.
    """
    if curve not in CURVES:
        raise PolicyError(
            f"There is no curve {curve!r}.",
            remedy=f"Choose one of {', '.join(CURVES)}.",
            code="measure.curve",
        )
    if not points or min(points) < 1:
        raise PolicyError(
            "A point of a curve is a whole number of at least 1.",
            remedy="Give numbers with commas, such as 1,2,4.",
            code="measure.curve",
        )
    if curve == "shots" and not is_generated:
        raise PolicyError(
            "The shots of this curve are generated, and data of your own were given.",
            remedy="Leave data out, or choose another curve.",
            code="measure.curve",
        )


def scaling_trials(
    curve: str, points: Sequence[int], view_format: ViewFormat, scratch: Path,
    *, seed: int = 0, data: Path | None = None,
) -> list[Trial]:  # fmt: skip
    """Return the trials of a curve.

    Args:
        curve: One of `CURVES`.
        points: Sub-images, frames or shots.
        view_format: Of the model that looks.
        scratch: Folder for generated images.
        seed: Of generated images.
        data: For ``"sub-images"``: a folder of V* (``test_questions.jsonl`` and its images); for
            ``"frames"``: a folder of needles; None for generated data.

    Raises:
        PolicyError: There is no such curve, or a point below 1.
        InputError: The folder holds something else.
    """
    require_curve(curve, points, is_generated=data is None)
    if curve == "frames":
        frames = [max(point, 2) for point in points]
        trials = needle_trials(frames, (0.5,), view_px=view_format.view_px, seed=seed, data=data)
        return [_renamed(trial, f"{trial.name.partition('/')[0]} frames") for trial in trials]
    if curve == "shots":
        return [
            trial for shots in points for trial in _shot_trials(shots, view_format.view_px, seed)
        ]
    large = _generated_large(scratch, seed) if data is None else _vstar(data)
    return [
        Trial(f"{tiles}/{number}", f"{tiles} sub-images", _tiled(path, tiles, view_format), *asked)
        for tiles in points
        for number, (path, *asked) in enumerate(large)
    ]


def point_names(curve: str, points: Sequence[int]) -> list[str]:
    """Return the names of the points, as trials have them."""
    noun = {"sub-images": "sub-images", "frames": "frames", "shots": "shots"}[curve]
    return [f"{max(point, 2) if curve == 'frames' else point} {noun}" for point in points]


def shot_samples(shots: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return the pairs that a session is shown, to fine-tune on the same ones.

    Returns:
        Rows with ``colours`` (of the two images) and ``answer``; `disc_frame` draws each.
    """
    rng = np.random.default_rng((seed, shots))
    names = list(COLOURS)
    rows = []
    for number in range(shots):
        first = names[int(rng.integers(len(names)))]
        other = [name for name in names if name != first][int(rng.integers(len(names) - 1))]
        second = first if number % 2 == 0 else other
        rows.append({"colours": [first, second], "answer": "yes" if first == second else "no"})
    return rows


def write_shot_samples(path: Path, shots: int, view_px: int, seed: int) -> Path:
    """Write the pairs of a session as training data: LLaVA rows, and their pictures beside them.

    Args:
        path: A ``.jsonl`` file; pictures go into a folder of the same name.
        shots: How many pairs.
        view_px: Side of a picture.
        seed: As for `scaling_trials`.

    Raises:
        OutputError: It cannot be written.
    """
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for place, row in enumerate(shot_samples(shots, seed)):
        names = [f"{place}-{side}.png" for side in range(2)]
        for name, colour in zip(names, row["colours"], strict=True):
            Image.fromarray(disc_frame(colour, view_px, seed + 7 * place)).save(folder / name)
        turns = [{"from": "human", "value": f"<image><image>\n{_PAIR}"},
                 {"from": "gpt", "value": row["answer"]}]  # fmt: skip
        images = [f"{folder.name}/{name}" for name in names]
        lines.append(json.dumps({"id": str(place), "image": images, "conversations": turns}))
    write_text(path, "".join(line + "\n" for line in lines), overwrite=True)
    return path


def held_out_trials(point: str, view_px: int, seed: int) -> list[Trial]:
    """Return the held-out pairs of the shots alone, asked in the words of the training samples.

    Args:
        point: Name of the point that they count for.
        view_px: Side of a picture.
        seed: As for `scaling_trials`.
    """
    return [
        Trial(f"{point}/{number}", point, _pairs([], number, view_px, seed), _PAIR, ("yes", "no"),
              asked["answer"])
        for number, asked in enumerate(_held_out(seed))
    ]  # fmt: skip


def _held_out(seed: int) -> list[dict[str, Any]]:
    return shot_samples(_HELD_OUT, seed + 1)


def _shot_trials(shots: int, view_px: int, seed: int) -> list[Trial]:
    """Show pairs with their answers, then a pair without one, all in one sequence and question."""
    shown = shot_samples(shots, seed)
    told = "; ".join(f"pair {k}: {row['answer']}" for k, row in enumerate(shown, 1))
    question = f"Images come in pairs. Do both show one colour? {told}. {_PAIR}"
    return [
        Trial(f"{shots}/held-out {number}", f"{shots} shots", _pairs(shown, number, view_px, seed),
              question, ("yes", "no"), asked["answer"])
        for number, asked in enumerate(_held_out(seed))
    ]  # fmt: skip


def _pairs(
    shown: Sequence[dict[str, Any]], number: int, view_px: int, seed: int
) -> Callable[[], VisualSequence]:
    """Show pairs, and a held-out one after them, which is the same after any number of others."""

    def show() -> VisualSequence:
        told = [(seed + 7 * place, row) for place, row in enumerate(shown)]
        asked = (seed + 7 * (_FIRST_HELD_OUT + number), _held_out(seed)[number])
        return VisualSequence(tuple(
            view(disc_frame(colour, view_px, drawn_with))
            for drawn_with, row in (*told, asked)
            for colour in row["colours"]
        ))  # fmt: skip

    return show


def _generated_large(scratch: Path, seed: int) -> list[tuple[Any, ...]]:
    """Draw large images with one small disc each: too small to be told in the whole view."""
    found = []
    for number, colour in enumerate(COLOURS):
        path = scratch / f"large-{seed}-{number}.png"
        if not path.is_file():
            rng = np.random.default_rng((seed, number))
            x, y = rng.uniform(0.1, 0.9, 2) * _SIDE_PX
            pixels = with_disc(haystack(number, _SIDE_PX, seed), colour, _SIDE_PX / 100, (x, y))
            with new_file(path, overwrite=True) as whole:  # several processes may draw it at once
                Image.fromarray(pixels).save(whole, "PNG")
        found.append((path, _TARGET, tuple(COLOURS), colour))
    return found


def _vstar(folder: Path) -> list[tuple[Any, ...]]:
    """Read V*'s questions: ``image``, ``text`` with lettered options, ``label``."""
    table = folder / _VSTAR
    if not table.is_file():
        raise NotFoundError(
            "The folder holds no V*.",
            remedy=f"Give the folder with {_VSTAR} and its images.",
            code="measure.vstar",
        )
    try:
        rows = [json.loads(line) for line in table.read_text("utf-8").splitlines() if line.strip()]
        return [
            (
                folder / row["image"],
                row["text"],
                tuple("ABCD"[: row["text"].count("\n(")]),
                row["label"],
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedInputError(
            "The questions of V* cannot be read.",
            remedy="Give its test_questions.jsonl as distributed.",
            code="measure.vstar",
        ) from None


def _tiled(path: Path, tiles: int, view_format: ViewFormat) -> Callable[[], VisualSequence]:
    def show() -> VisualSequence:
        """Return the picture as a grid of the number of tiles asked for."""
        each = view_format.tokens_per_view + TAG_TOKENS + 1
        policy = GridPolicy(
            tile_px=view_format.view_px, global_px=view_format.view_px,
            tokens_per_view=view_format.tokens_per_view, reserved_tokens=1,
            max_tokens=(tiles + 1) * each + 1,
        )  # fmt: skip
        with open_raster(str(path)) as raster:
            return raster.to_sequence(policy)

    return show


def _renamed(trial: Trial, point: str) -> Trial:
    return Trial(trial.name, point, trial.show, trial.question, trial.choices, trial.truth)
