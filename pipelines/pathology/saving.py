"""Files that a result about a slide is saved as, and refusals of those it cannot be, before any work."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.errors import OutputError, UnsupportedInputError
from longllava_domains.files import new_file, require_writable, write_text
from longllava_domains.pathology import Slide
from longllava_domains.pipelines.pathology.found import SlideDetections
from longllava_domains.pipelines.pathology.result import SlideAnswer

_PICTURES: Final = (".png", ".jpg", ".jpeg")
ANSWER_FILES: Final = (".json", ".geojson", *_PICTURES)
"""Endings of files that an answer about a slide can be saved as."""

FOUND_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {".geojson": "detections for QuPath", ".dcm": "DICOM annotations", ".json": "everything"}
    | dict.fromkeys(_PICTURES, "a sheet of the fields that hold detections")
)
"""Ending of a file -> what a search of a slide writes there."""


def require_answer_file(path: Path, *, picture: bool = False) -> None:
    """Refuse a file that an answer could not be saved as, before the model is loaded.

    Raises:
        UnsupportedInputError: The ending names no form.
        OutputError: The file exists or cannot be written.
    """
    _require_ending(path, _PICTURES if picture else ANSWER_FILES)
    require_writable(path, overwrite=path.suffix.lower() in _PICTURES)


def require_found_file(slide: Slide, path: Path, model: str) -> None:
    """Refuse a file that what is found could not be saved as, before the model is loaded.

    Raises:
        UnsupportedInputError: The ending names no form.
        OutputError: A DICOM file for another slide or the demonstration, or the file exists or
            cannot be written.
    """
    _require_ending(path, tuple(FOUND_FILES))
    if path.suffix.lower() == ".dcm" and (model == "demo" or slide.source.header() is None):
        raise OutputError(
            "The demonstration model's outlines do not go into DICOM files."
            if model == "demo"
            else "The slide does not come from DICOM files, so there is no study to annotate.",
            remedy="Save .geojson or .json.",
            code="export.demo" if model == "demo" else "export.no_dicom_source",
        )
    require_writable(path, overwrite=path.suffix.lower() in _PICTURES)


def save_answer(answer: Any, path: Path) -> None:
    """Save an answer as the ending of the file says.

    Raises:
        OutputError: The file exists or cannot be written.
    """
    assert isinstance(answer, SlideAnswer)
    suffix = path.suffix.lower()
    if suffix == ".geojson":
        answer.save_geojson(path)
    elif suffix == ".json":
        write_text(path, json.dumps(answer.to_json(), indent=1) + "\n")
    else:
        with new_file(path, overwrite=True) as temporary:
            answer.show().save(temporary)


def save_evidence(answer: Any, path: Path) -> None:
    """Save the picture of where an answer looked.

    Raises:
        PolicyError: Attention was not read.
        OutputError: The file cannot be written.
    """
    assert isinstance(answer, SlideAnswer)
    picture = answer.evidence().show()
    with new_file(path, overwrite=True) as temporary:
        picture.save(temporary)


def save_found(found: SlideDetections, path: Path) -> None:
    """Save what was found as the ending of the file says.

    Raises:
        OutputError: As the methods of `SlideDetections`.
        NotFoundError: A picture of nothing.
    """
    suffix = path.suffix.lower()
    if suffix == ".geojson":
        found.save_geojson(path)
    elif suffix == ".dcm":
        found.save_dicom_ann(path)
    elif suffix == ".json":
        write_text(path, json.dumps(found.to_json(), indent=1) + "\n")
    else:
        picture = found.show()
        with new_file(path, overwrite=True) as temporary:
            picture.save(temporary)


def _require_ending(path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise UnsupportedInputError(
            "The ending of the output names no form that is written here.",
            remedy=f"End it with one of {', '.join(endings)}.",
            code="slide.out",
        )
