"""`open_data`: from a layout's name and a place on disk to `TrainingData`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from longllava_domains.adapters.data.readers.ct_rate import read_ct_rate, read_radgenome
from longllava_domains.adapters.data.readers.fit_rs import read_fit_rs
from longllava_domains.adapters.data.readers.hub import read_hub
from longllava_domains.adapters.data.readers.llava import read_llava
from longllava_domains.adapters.data.readers.path_vqa import read_path_vqa
from longllava_domains.adapters.data.readers.pubmedvision import read_pubmedvision
from longllava_domains.adapters.data.readers.sharegpt import read_sharegpt
from longllava_domains.adapters.data.readers.vqa_rad import read_vqa_rad
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.arguments import checked
from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.units import did_you_mean, short_hash


@checked
def open_data(source: str | Path, layout: str = "llava") -> TrainingData:
    """Open training data on disk.

    Args:
        source: A folder or file; ``#PART`` at its end chooses a part of the data set: a split
            (``#test``), a configuration (``#alignment``) or a data set of a description.
        layout: One of `LAYOUTS`.

    Raises:
        PolicyError: There is no such layout, or no such part of it; or a file has a part.
        NotFoundError: Nothing of that layout is there.
        DamagedInputError: A data file cannot be read.
        UnsupportedInputError: A description names what is not read.
    """
    require_layout(layout)
    require_training_data(source)
    text, _, part = str(source).partition("#")
    return LAYOUTS[layout](Path(text), part)


def require_layout(layout: str) -> None:
    """Refuse a name that is no layout of training data.

    Args:
        layout: As in `open_data`.

    Raises:
        PolicyError: It is none.
    """
    if layout not in LAYOUTS:
        raise PolicyError(
            "There is no layout of training data of that name.",
            remedy=f"{did_you_mean(layout, LAYOUTS)}Use one of {', '.join(LAYOUTS)}; what will be scored "
            "on is named as LAYOUT:PLACE.",
            code="training.layout",
        )


def require_training_data(source: str | Path, what: str = "The training data") -> None:
    """Refuse training data that are not there, or a part of a file, which has none.

    Args:
        source: As in `open_data`.
        what: What the data are called in a message.

    Raises:
        NotFoundError: Nothing is there.
        PolicyError: It is a file, and a part of it is named.
    """
    place, sign, _ = str(source).partition("#")
    if not Path(place).exists():
        raise NotFoundError(
            f"{what} is not there ({short_hash(place)}).",
            remedy="Name a folder or file that exists.",
            code="training.place",
        )
    if sign and Path(place).is_file():
        raise PolicyError(
            f"{what} is one file, and a file has no parts to choose from.",
            remedy="Leave out the # and what stands behind it, or name a folder: FOLDER#PART.",
            code="training.part",
        )


def _llava(place: Path, part: str) -> TrainingData:
    if place.is_file():
        return read_llava([place], place.parent)
    names = [part] if part else sorted(p.name for p in place.glob("*.json*"))
    files = [place / name for name in names if (place / name).is_file()]
    if not files:
        raise NotFoundError(
            "The folder holds no JSON or JSONL file" + (" of the part's name." if part else "."),
            remedy="Name the file itself, or put it in the folder beside its images.",
            code="training.file",
        )
    return read_llava(files, place)


def _radgenome(place: Path, part: str) -> TrainingData:
    return read_radgenome(place, place / "radgenome_files", part or "train")


LAYOUTS: Final[dict[str, Callable[[Path, str], TrainingData]]] = {
    "llava": _llava,
    "sharegpt": lambda place, part: read_sharegpt(place, part or None),
    "hub": lambda place, part: read_hub(place, part or "train"),
    "pubmedvision": lambda place, part: read_pubmedvision(place, part or "both"),
    "fit-rs": lambda place, part: read_fit_rs(place, part or "381k"),
    "vqa-rad": lambda place, part: read_vqa_rad(place, part or "train"),
    "pathvqa": lambda place, part: read_path_vqa(place, part or "train"),
    "ct-rate": lambda place, part: read_ct_rate(place, part or "train"),
    "radgenome": _radgenome,
}
