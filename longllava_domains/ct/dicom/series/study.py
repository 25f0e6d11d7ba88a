"""Read every header below a path, once, and sort what was found: slices, and why all else is not.

Nothing is decoded here. A path without a single CT slice ends in an error that counts, in plain
words, what was there instead.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longllava_domains.ct.dicom.header import NotAnImage, SliceHeader, read_header
from longllava_domains.ct.dicom.series.grouping import SubSeries, group, not_a_slice
from longllava_domains.ct.dicom.series.multiframe import read_frames
from longllava_domains.errors import (
    BurnedInError,
    DamagedInputError,
    InputError,
    NotFoundError,
    UnsupportedInputError,
)
from longllava_domains.formats.dicom.dicomdir import compare
from longllava_domains.formats.dicom.find import find
from longllava_domains.formats.dicom.source_file import Found

# What set a file aside, in words; everything with a page's code may show a name.
_WORDS: Final = {
    "file.not_dicom": "not DICOM",
    "file.other_modality": "of another modality",
    "file.no_image": "DICOM without an image",
    "file.float_pixels": "with floating-point pixels",
    "file.dicomdir": "DICOMDIR",
    "file.empty": "empty",
    "file.clutter": "clutter",
    "file.linked_again": "linked twice",
    "file.encrypted": "encrypted",
    "file.nested_archive": "an archive inside the archive",
    "file.unreadable": "unreadable",
    "folder.unreadable": "in folders that cannot be listed",
    "file.unparsable": "damaged",
    "file.ct_without_pixels": "cut off before the pixels",
    "file.multiframe_damaged": "damaged multi-frame",
    "page.burned_in": "with burned-in text",
    "page.secondary_capture": "screen captures",
    "page.colour": "in colour",
    "page.8_bit": "with 8-bit pixels",
    "page.screen": "dose or screen pages",
}
_DAMAGED: Final = ("file.unparsable", "file.ct_without_pixels", "file.multiframe_damaged")


@dataclass
class Study:
    """Content of a folder, archive or file.

    Attributes:
        series: Sub-series of CT slices.
        codes: Files set aside, by reason.
        cut: Digest of a series UID -> how many of its files end before their pixels.
        first_number: Digest of a series UID -> the lowest instance number of all its images.
    """

    series: list[SubSeries]
    codes: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    first_number: dict[str, int] = field(default_factory=dict)


def read_study(source: str | Path | Found) -> Study:
    """Read all headers below a path, or of files already found, once, and group them.

    Raises:
        NotFoundError: Nothing is there, or no file of any kind.
        UnsupportedInputError: No file holds a CT slice.
        DamagedInputError: The only files that might are damaged.
        BurnedInError: The only images are pages that may show a name.
    """
    found = source if isinstance(source, Found) else _find(Path(source))
    study = Study([], found.codes)
    headers: list[SliceHeader] = []
    for file in found.files:
        for header in read_frames(file):
            reason = header.code if isinstance(header, NotAnImage) else not_a_slice(header)
            if isinstance(header, NotAnImage) and header.series:
                study.cut[header.series] += 1
            if isinstance(header, SliceHeader) and header.instance_number is not None:
                lowest = study.first_number.get(header.series, header.instance_number)
                study.first_number[header.series] = min(lowest, header.instance_number)
            if reason is not None:
                study.codes[reason] += 1
            elif isinstance(header, SliceHeader):
                headers.append(header)
    if not headers:
        raise _nothing_usable(found)
    study.series = group(headers)
    copies = sum(len(one.copies) for one in study.series)
    if copies:
        study.codes["file.copies"] = copies
    return study


def _find(path: Path) -> Found:
    found = find(path)
    if len(found.files) == 1 and path.is_file():
        return _through_directory(found, path.parent)
    return found


def _through_directory(found: Found, root: Path) -> Found:
    """Return the folder's files where the only file is a DICOMDIR, else the file itself."""
    first = read_header(found.files[0])
    if not isinstance(first, NotAnImage) or first.code != "file.dicomdir":
        return found
    whole = find(root)
    whole.codes.update(compare(found.files[0], root))
    return whole


def _nothing_usable(found: Found) -> InputError:
    """Return the error for a path without a single CT slice."""
    facts = dict(sorted(found.codes.items()))
    counted = ", ".join(f"{count} {_WORDS.get(code, code)}" for code, count in facts.items())
    if not facts:
        return NotFoundError(
            "The folder or archive is empty.",
            remedy="Pass the folder or the zip archive that holds the slices.",
            code="input.empty",
        )
    if any(code.startswith("page.") for code in facts):
        return BurnedInError(
            f"There are only pages that may show a patient's name ({counted}).",
            remedy="Pass the series of slices; pages and screen captures are never shown.",
            code="input.pages",
            facts=facts,
        )
    if any(code in facts for code in _DAMAGED):
        return DamagedInputError(
            f"No CT slice can be read; files are damaged ({counted}).",
            remedy="Copy or export the series again.",
            code="input.damaged",
            facts=facts,
        )
    return UnsupportedInputError(
        f"There is no CT slice among the files ({counted}).",
        remedy="Pass a folder or archive of DICOM CT slices, or, unless it is series that shall be "
        "listed, a NIfTI file (.nii, .nii.gz). Of a slide, a raster or a picture ask a question: "
        "longllava ask.",
        code="input.no_ct",
        facts=facts,
    )
