"""The facts that a scan keeps of one file: its kind and, for DICOM, the headers of its images.

Headers are kept as the CT loader reads them: names, dates and descriptions never, identifiers as
digests. The study UID alone is kept as it is, for the linkage file.
"""

import json
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, Final

from longllava_domains.archive.manifest.walk import Entry
from longllava_domains.ct.dicom.elements import TAGS, WANTED
from longllava_domains.ct.dicom.header import NotAnImage, SliceHeader, parse_header
from longllava_domains.ct.dicom.series.grouping import not_a_slice
from longllava_domains.ct.dicom.series.multiframe import split_frames
from longllava_domains.formats.dicom.fast_parser import ParsedElements, parse
from longllava_domains.formats.dicom.pydicom_parser import read_elements
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.formats.dicom.values import text
from longllava_domains.units import short_hash

SLIDE_CLASS: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_STUDY: Final = TAGS["StudyInstanceUID"]
_KEPT: Final = tuple(
    field
    for field in fields(SliceHeader)
    if field.name not in ("file", "spans", "pixel_offset", "pixel_length", "little_endian")
)
_DEFAULTS: Final = {field.name: field.default for field in _KEPT}


@dataclass(frozen=True)
class FileFacts:
    """Kind and content of one file.

    Attributes:
        code: Report code that sets it aside; empty for part of an item.
        study: Study UID as it stands in the header; empty where there is none.
        series: Digest of the series UID.
        headers: Headers of its images, as `pack_headers` writes them; empty for other files.
        content: Keyed or plain digest of what the file is; see `scan`.
    """

    code: str = ""
    study: str = ""
    series: str = ""
    headers: str = ""
    content: str = ""


def read_dicom(entry: Entry, domain: str) -> FileFacts:
    """Read a file's header and say what it is for a domain; never raises for what it holds."""
    file = SourceFile(1, short_hash(entry.member), entry.size, entry.open)
    found = _elements(file)
    if isinstance(found, str):
        return FileFacts(found)
    header = parse_header(file, found)
    study = text(found.elements.get(_STUDY, b""))
    if isinstance(header, NotAnImage):
        return FileFacts(header.code, study, header.series)
    if domain == "pathology":
        code = "" if header.sop_class == SLIDE_CLASS else "file.other_modality"
        return FileFacts(code, study, header.series, pack_headers([header]))
    return _slices(header, study)


def _slices(header: SliceHeader, study: str) -> FileFacts:
    """Say what an image is for CT: its slices, or why it is none."""
    frames = split_frames(header)
    if isinstance(frames, NotAnImage):
        return FileFacts(frames.code, study, header.series)
    kept = []
    code = ""
    for frame in frames:
        reason = not_a_slice(frame)
        if reason is None:
            kept.append(frame)
        else:
            code = reason
    if not kept:
        return FileFacts(code, study, header.series)
    return FileFacts("", study, header.series, pack_headers(kept))


def _elements(file: SourceFile) -> ParsedElements | str:
    try:
        with file.open() as stream:
            found = parse(stream, WANTED)
    except OSError:
        return "file.unreadable"
    return read_elements(file, WANTED) if found is None else found


def starts(entry: Entry) -> bytes:
    """Return a file's first bytes, none where it cannot be read."""
    try:
        with entry.open() as stream:
            return _head(stream)
    except OSError:
        return b""


def _head(stream: BinaryIO) -> bytes:
    return stream.read(16)


def pack_headers(headers: list[SliceHeader]) -> str:
    """Return headers as text, without what is as usual."""
    packed = []
    for header in headers:
        values = {name: getattr(header, name) for name in _DEFAULTS}
        packed.append({name: value for name, value in values.items() if value != _DEFAULTS[name]})
    return json.dumps(packed, separators=(",", ":"))


def unpack_headers(packed: str, file: SourceFile) -> list[SliceHeader]:
    """Return the headers that `pack_headers` wrote, for choosing; their pixels cannot be read."""
    return [
        SliceHeader(
            file=file,
            **{
                "little_endian": True,
                "pixel_offset": None,
                "pixel_length": None,
                **{name: _tuples(value) for name, value in values.items()},
            },
        )
        for values in json.loads(packed)
    ]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
