"""LLaVA-style JSON and JSONL: what most image-text training data is published as.

A row is ``{"id", "image", "conversations": [{"from": "human" | "gpt", "value"}]}``; ``image`` is
a path, a list of paths, or absent, and ``<image>`` in a human value says where each stands. A row
with ``video`` in place of ``image`` shows frames of it, where ``<video>`` stands.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.domain_pictures import DEFAULT_SLICES, picture_of
from longllava_domains.adapters.data.pictures import Picture
from longllava_domains.adapters.data.records import JsonRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import OWN_TERMS, LossOn, Terms, TrainingData
from longllava_domains.adapters.data.turns import rounds_of, turns_of
from longllava_domains.ct import SlicePolicy
from longllava_domains.prompt.layouts import MARKER

_VIDEO: Final = "<video>"


def read_llava(
    files: Sequence[Path],
    images: Path,
    *,
    name: str = "own",
    slices: SlicePolicy = DEFAULT_SLICES,
    loss_on: LossOn = "all",
    terms: Terms = OWN_TERMS,
) -> TrainingData:
    """Read LLaVA-style files.

    Args:
        files: JSON lists, or files with a row on each line.
        images: Folder that the rows' paths start from. NIfTI files and folders in it are CT
            volumes, TIFF files scenes, slides and videos what they are.
        name: What the data set is called.
        slices: How CT volumes are shown.
        loss_on: Which answers are learned.
        terms: On what terms the data may be used.
    """

    def convert(row: Any, key: str) -> Sample:
        return llava_sample(row, key, images, slices)

    return TrainingData(name, JsonRecords(tuple(files)), convert, loss_on, terms)


def llava_sample(
    row: Any,
    key: str,
    images: Path,
    slices: SlicePolicy = DEFAULT_SLICES,
    facts: Mapping[str, str] | None = None,
) -> Sample:
    """Make a sample of one LLaVA-style row.

    Raises:
        RowError: It makes none.
    """
    if not isinstance(row, dict):
        raise RowError("damaged_row")
    turns = turns_of(row, "conversations", "from", "value")
    named = row.get("image")
    if named is None and "video" in row:
        named = row["video"]
        turns = [(role, text.replace(_VIDEO, MARKER)) for role, text in turns]
    rounds, trimmed = rounds_of(turns)
    pictures = pictures_of(named, images, slices)
    return Sample(key, rounds, pictures, facts=facts or {}, trimmed=trimmed)


def pictures_of(
    names: Any, images: Path, slices: SlicePolicy = DEFAULT_SLICES
) -> tuple[Picture, ...]:
    """Turn a row's image field (absent, a path, or a list of paths) into pictures.

    Raises:
        RowError: It is anything else, or a path that leaves the folder of images.
    """
    listed = [] if names is None or names == "" else [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise RowError("damaged_row", "image")
    # A data file comes from others: it may not point out of the folder that its user named.
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in listed):
        raise RowError("missing_image")
    return tuple(picture_of(images, name, slices) for name in listed)


def text_field(row: Any, field: str) -> str:
    """Return a text of a row.

    Raises:
        RowError: The row is no object, or the field is absent or no text.
    """
    value = row.get(field) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise RowError("damaged_row", field)
    return value


def with_leading_tags(question: str, pictures: int) -> str:
    r"""Put an ``<image>\n`` for each picture before a question."""
    return f"{MARKER}\n" * pictures + question
