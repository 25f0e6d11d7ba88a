"""A DICOMDIR is a hint: what it lists is compared with what is there, and never opened.

CVE-2026-32711 and its like: a Referenced File ID can name any path, so it is resolved below the
directory's own folder or counted as an escape.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from longllava_domains.formats.dicom.pydicom_parser import (
    UnparsableError,
    parsing,
    raw_bytes,
    read_dataset,
)
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.formats.dicom.values import text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_RECORDS: Final = 0x00041220
_FILE_ID: Final = 0x00041500


def compare(directory: SourceFile, root: Path) -> Counter[str]:
    """Count what a DICOMDIR lists that is not below its folder.

    Args:
        directory: The DICOMDIR.
        root: The folder it lies in.

    Returns:
        ``dicomdir.missing`` and ``dicomdir.escape``, or ``dicomdir.unreadable``.
    """
    codes: Counter[str] = Counter()
    try:
        dataset = read_dataset(directory)
        with parsing():
            references = _references(dataset)
    except UnparsableError:
        references = []
        codes["dicomdir.unreadable"] += 1
    base = root.resolve()
    for parts in references:
        place = base.joinpath(*parts)
        if not place.resolve().is_relative_to(base):
            codes["dicomdir.escape"] += 1
        elif not place.is_file():
            codes["dicomdir.missing"] += 1
    return codes


def _references(dataset: "Dataset") -> list[tuple[str, ...]]:
    """Return the path components that the directory records name."""
    references = []
    for record in dataset[_RECORDS].value if _RECORDS in dataset else []:
        if _FILE_ID in record:
            whole = text(raw_bytes(record.get_item(_FILE_ID), little_endian=True)).replace("\0", "")
            parts = tuple(part.strip() for part in whole.split("\\"))
            if any(parts):
                references.append(parts)
    return references
