"""Take enhanced multi-frame CT apart into frames that each carry their own geometry and rescale.

PS3.3 C.7.6.16 and A.38 (Enhanced CT, Legacy Converted Enhanced CT). What a frame's functional
groups say comes before the shared groups, and those before the top level.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from longllava_domains.ct.dicom.elements import TAGS, WANTED
from longllava_domains.ct.dicom.header import (
    CT_CLASSES,
    NotAnImage,
    SliceHeader,
    parse_header,
    read_header,
)
from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.dicom.codecs import RLE
from longllava_domains.formats.dicom.fast_parser import ParsedElements
from longllava_domains.formats.dicom.fragments import locate_frames
from longllava_domains.formats.dicom.pydicom_parser import (
    UnparsableError,
    parsing,
    raw_bytes,
    read_dataset,
)
from longllava_domains.formats.dicom.source_file import SourceFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SHARED, _PER_FRAME = (
    TAGS["SharedFunctionalGroupsSequence"],
    TAGS["PerFrameFunctionalGroupsSequence"],
)
# Functional group macros that say where a frame is and what its values mean.
_MACROS: Final = (
    0x00189118,  # Cardiac Synchronization Sequence
    0x00189314,  # CT Reconstruction Sequence
    0x00189325,  # CT X-Ray Details Sequence
    0x00189329,  # CT Image Frame Type Sequence
    0x00209111,  # Frame Content Sequence
    0x00209113,  # Plane Position Sequence
    0x00209116,  # Plane Orientation Sequence
    0x00289110,  # Pixel Measures Sequence
    0x00289132,  # Frame VOI LUT Sequence
    0x00289145,  # Pixel Value Transformation Sequence
)
_FRAME_ACQUISITION_NUMBER: Final = 0x00209156
_REAL_WORLD: Final = TAGS["RealWorldValueMappingSequence"]
# Elements of the macros that stand for one of a single-frame image.
_RENAMED: Final = {
    0x00089007: TAGS["ImageType"],  # Frame Type
    0x00189074: TAGS["AcquisitionDateTime"],  # Frame Acquisition DateTime
}


def read_frames(file: SourceFile) -> list[SliceHeader] | list[NotAnImage]:
    """Return the images that a file holds: one, or one for each frame; or why it holds none."""
    header = read_header(file)
    if isinstance(header, NotAnImage):
        return [header]
    frames = split_frames(header)
    if isinstance(frames, NotAnImage):
        return [frames]
    return _located(frames) if header.pixel_length is None else frames


def _located(frames: list[SliceHeader]) -> list[SliceHeader]:
    """Say where the fragments of compressed frames lie; nowhere, where they are damaged."""
    first = frames[0]
    try:
        with first.file.open() as stream:
            spans = locate_frames(
                stream,
                first.pixel_offset or 0,
                first.file.size,
                max(len(frames), first.frames),
                rle=first.syntax == RLE,
            )
    except (DamagedInputError, OSError):  # refused only if the series is the one wanted
        return frames
    return [replace(frame, spans=own) for frame, own in zip(frames, spans, strict=False)]


def split_frames(header: SliceHeader) -> list[SliceHeader] | NotAnImage:
    """Return one header for each frame of a multi-frame image.

    Where there are no functional groups, the frames have no geometry, and the loader refuses
    them for that.
    """
    if not header.grouped or header.sop_class not in CT_CLASSES:
        return [header]
    try:
        dataset = read_dataset(header.file)
        with parsing():
            return _split(header, dataset)
    except UnparsableError:
        return NotAnImage("file.multiframe_damaged")


def _split(header: SliceHeader, dataset: "Dataset") -> list[SliceHeader] | NotAnImage:
    shared = _first(dataset, _SHARED)
    per_frame = _items(dataset, _PER_FRAME)
    if len(per_frame) != header.frames:
        return NotAnImage("file.multiframe_damaged")
    little = header.little_endian
    common = _wanted(dataset, little) | _group_elements(shared, little)
    headers = []
    for index, group in enumerate(per_frame):
        elements = common | _group_elements(group, little)
        found = ParsedElements(
            syntax=header.syntax,
            elements=elements,
            little_endian=little,
            pixel_offset=header.pixel_offset,
            pixel_length=header.pixel_length,
            has_pixels=True,
        )
        frame = parse_header(header.file, found)
        if isinstance(frame, NotAnImage):
            return frame
        headers.append(replace(frame, frame=index, grouped=True))
    return headers


def _wanted(dataset: "Dataset", little_endian: bool) -> dict[int, bytes]:
    return {
        tag: raw_bytes(dataset.get_item(tag), little_endian=little_endian)
        for tag in WANTED
        if tag in dataset
    }


def _group_elements(group: "Dataset | None", little_endian: bool) -> dict[int, bytes]:
    """Flatten the macros of one functional group item."""
    elements: dict[int, bytes] = {}
    if group is None:
        return elements
    for macro in _MACROS:
        item = _first(group, macro)
        if item is None:
            continue
        elements |= _wanted(item, little_endian)
        for tag, stands_for in _RENAMED.items():
            if tag in item:
                value = raw_bytes(item.get_item(tag), little_endian=little_endian)
                elements[stands_for] = value
        if _FRAME_ACQUISITION_NUMBER in item:  # binary, and a string of digits at the top level
            value = raw_bytes(item.get_item(_FRAME_ACQUISITION_NUMBER), little_endian=little_endian)
            number = int.from_bytes(value, "little" if little_endian else "big")
            elements[TAGS["AcquisitionNumber"]] = str(number).encode()
    if _REAL_WORLD in group:
        elements[_REAL_WORLD] = b"\0"
    return elements


def _first(dataset: "Dataset", tag: int) -> "Dataset | None":
    items = _items(dataset, tag)
    return items[0] if items else None


def _items(dataset: "Dataset", tag: int) -> "list[Dataset]":
    """Return the items of a sequence, empty where it is absent."""
    if tag not in dataset:
        return []
    return list(dataset[tag].value or [])
