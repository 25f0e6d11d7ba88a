"""The files of `report`: refused before the work if they cannot be written, and named afterwards."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import OutputError, UnsupportedInputError
from longllava_domains.files import write_text
from longllava_domains.pipelines.cli.console import written
from longllava_domains.pipelines.cli.outputs import (
    require_folder,
    require_replaceable,
    save_picture,
)
from longllava_domains.units import counted

if TYPE_CHECKING:
    from longllava_domains.ct import CTVolume
    from longllava_domains.pipelines.ct.result import CTReportResult

_PICTURES: Final = (".png", ".jpg", ".jpeg")


def require_picture(path: Path | None) -> None:
    """Refuse a name that says no kind of picture.

    Raises:
        UnsupportedInputError: The ending is not one of PNG or JPEG.
    """
    if path is not None and path.suffix.lower() not in _PICTURES:
        raise UnsupportedInputError(
            "The ending of the output names no kind of picture that is written here.",
            remedy=f"End it with one of {', '.join(_PICTURES)}.",
            code="cli.out",
        )


def require_document(volume: "CTVolume", model: str) -> None:
    """Refuse a DICOM SR or FHIR document that could not be made, before the model is loaded.

    Raises:
        OutputError: The input has no DICOM headers, or the model is the demonstration.
    """
    if model == "demo":
        raise OutputError(
            "A result of the demonstration model cannot become a clinical document.",
            remedy="Leave out --sr and --fhir, or name a real model.",
            code="export.demo",
        )
    if volume.source.source_headers() is None:
        raise OutputError(
            "The input has no DICOM headers, so patient and study are unknown.",
            remedy="Leave out --sr and --fhir, or give the DICOM series.",
            code="export.no_headers",
        )


def require_evidence_folder(folder: Path | None, source: Path) -> None:
    """Refuse a folder of evidence pictures that cannot be made or filled, before the work.

    Args:
        folder: The folder; None passes.
        source: What is read.

    Raises:
        OutputError: It cannot be made, lies in what is read, or holds a file of somebody else's
            under a picture's name.
    """
    if folder is None:
        return
    require_folder(folder, source)
    if folder.exists():
        for label in CT_RATE_LABELS:
            require_replaceable(_evidence_file(folder, label))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder for the evidence cannot be made ({os.strerror(error.errno or 0)}).",
            remedy="Give a new folder, or one that you may write to, as --evidence.",
            code="cli.evidence",
        ) from None


def _evidence_file(folder: Path, label: str) -> Path:
    return folder / f"{label.lower().replace(' ', '_').replace('/', '_')}.png"


def save_report(
    result: "CTReportResult",
    *,
    out: Path | None,
    sheet: Path | None,
    evidence: Path | None,
    sr: Path | None,
    fhir: Path | None,
) -> None:
    """Write what was asked for, and name each file on the terminal."""
    if out is not None:
        write_text(out, json.dumps(result.to_json(), indent=2) + "\n", overwrite=True)
        written(out)
    if sheet is not None:
        save_picture(result.show(), sheet)
        written(sheet)
    if evidence is not None:
        _make_folder(evidence)
        for label in result.abnormalities:
            save_picture(result.evidence(label), _evidence_file(evidence, label))
        written(evidence, counted(len(result.abnormalities), "picture"))
    if sr is not None:
        written(*result.save_dicom_sr(sr))
    if fhir is not None:
        written(result.save_fhir(fhir))
