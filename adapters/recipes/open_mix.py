"""`open_mix`: the data sets of a mixture, each in its folder or file under one roof."""

from collections.abc import Sequence
from pathlib import Path

from longllava_domains.adapters.data.open import open_data
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.recipes.mix import MixPart
from longllava_domains.errors import NotFoundError


def open_mix(folder: Path, parts: Sequence[MixPart]) -> list[TrainingData]:
    """Open every part of a mixture.

    Args:
        folder: Holds for each part a folder of its name, or a file NAME.json or NAME.jsonl.
        parts: The mixture.

    Raises:
        NotFoundError: A part is not there; all that are missing are named.
        LongLlavaError: A part is not in its layout, see `open_data`.
    """
    places = {part.name: _place(folder, part.name) for part in parts}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        raise NotFoundError(
            f"Data sets of the mixture are not there: {', '.join(missing)}.",
            remedy="Put each in a folder of that name, or leave it out with --set mix=[...].",
            code="training.mix",
        )
    return [part.shown(open_data(str(places[part.name]), part.layout)) for part in parts]


def _place(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.json", folder / f"{name}.jsonl")
    return next((place for place in candidates if place.exists()), None)
