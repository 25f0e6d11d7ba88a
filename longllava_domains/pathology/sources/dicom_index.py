"""The index of a DICOM slide: which instances are its levels, and where every frame belongs.

DICOM VL Whole Slide Microscopy (PS3.3 A.32.8): one instance or one concatenation for each level,
tiled full (frames row by row) or sparse (each frame says its place). Label and overview images
are counted and never decoded.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    NotFoundError,
    UnsupportedInputError,
)
from longllava_domains.formats.colour_stream import Colour
from longllava_domains.formats.dicom.find import find
from longllava_domains.formats.dicom.pydicom_parser import UnparsableError
from longllava_domains.pathology.mpp import MppEvidence
from longllava_domains.pathology.sources.dicom_header import (
    LABELS,
    Instance,
    Part,
    damaged,
    read_instance,
)
from longllava_domains.pathology.sources.tiff_index import several_planes


@dataclass(frozen=True)
class DicomLevel:
    """One level.

    Attributes:
        width: Total pixel matrix.
        height: Total pixel matrix.
        tile_width: Columns of a frame.
        tile_height: Rows of a frame.
        parts: Instances that hold its frames.
        places: Tile (row-major) -> (part, frame in it); tiles that are absent were not scanned.
        label: What the tag says of colours.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    parts: tuple[Part, ...]
    places: dict[int, tuple[int, int]]
    label: Colour | None


@dataclass(frozen=True)
class DicomIndex:
    """Index of a DICOM slide, from its headers.

    Attributes:
        levels: Largest first.
        evidence: About resolution.
        codes: For the report.
        numbers: For the report.
        withheld: Label and overview instances.
        has_icc: The optical path carries a colour profile.
    """

    levels: tuple[DicomLevel, ...]
    evidence: tuple[MppEvidence, ...]
    codes: dict[str, int]
    numbers: dict[str, float]
    withheld: int
    has_icc: bool


def read_index(path: str) -> DicomIndex:
    """Read the headers of a DICOM slide.

    Args:
        path: A folder or zip archive of one slide, or one of its files: then the others of its
            series are looked for beside it.

    Raises:
        NotFoundError: No slide instance there.
        AmbiguousInputError: Several slides.
        DamagedInputError: Headers that cannot be read, or parts that are missing.
        UnsupportedInputError: Grey, 16 bits, several focal planes or optical paths.
    """
    place = Path(path)
    named = _named(place) if place.is_file() and not _is_zip(place) else None
    found = find(place.parent if named is not None else place)
    codes: Counter[str] = Counter(found.codes)
    instances = []
    for file in found.files:
        try:
            instance = read_instance(file)
        except (UnparsableError, UnsupportedInputError, DamagedInputError) as error:
            if named is None and not isinstance(error, UnparsableError):
                raise
            codes["file.not_slide"] += 1
            continue
        if instance is None or (named is not None and instance.series != named.series):
            codes["file.not_slide" if instance is None else "file.other_series"] += 1
        else:
            instances.append(instance)
    return _index(instances, codes)


def _named(place: Path) -> Instance | None:
    try:
        return read_instance(find(place).files[0])
    except UnparsableError:
        raise damaged("its header cannot be read") from None


def _is_zip(place: Path) -> bool:
    with place.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _index(instances: list[Instance], codes: Counter[str]) -> DicomIndex:
    volumes = [instance for instance in instances if instance.kind not in LABELS]
    if not volumes:
        raise NotFoundError(
            "There is no DICOM whole slide image here.",
            remedy="Name the folder of one slide, or one of its VOLUME instances.",
            code="slide.no_volume",
        )
    if len({instance.series for instance in volumes}) > 1:
        raise AmbiguousInputError(
            "The folder holds several slides (series).",
            remedy="Name one file of the slide you mean.",
            code="slide.several",
        )
    by_size: dict[tuple[int, int], list[Instance]] = {}
    for instance in volumes:
        by_size.setdefault(instance.size, []).append(instance)
    levels = tuple(_level(by_size[size]) for size in sorted(by_size, reverse=True))
    base = by_size[max(by_size)][0]
    evidence: tuple[MppEvidence, ...] = ()
    if base.spacing_um is not None:
        evidence = (MppEvidence("dicom_pixel_spacing", *base.spacing_um),)
    power = base.objective_power
    return DicomIndex(
        levels=levels,
        evidence=evidence,
        codes={**codes, "vendor.dicom": 1},
        numbers={} if power is None else {"objective_power_hint": power},
        withheld=len(instances) - len(volumes),
        has_icc=base.has_icc,
    )


def _level(instances: list[Instance]) -> DicomLevel:
    """Join the instances of one size.

    Raises:
        UnsupportedInputError: They are focal planes or channels, not parts of one image.
        DamagedInputError: Parts are missing, or a frame lies outside.
    """
    instances = sorted(instances, key=lambda instance: instance.first_frame)
    first = instances[0]
    if len(instances) > 1 and (
        first.concatenation is None or len({item.concatenation for item in instances}) > 1
    ):
        raise several_planes("several images of the same size")
    if len({(item.tile, item.label) for item in instances}) > 1:
        raise damaged("parts of one level differ")
    grid = (-(-first.size[0] // first.tile[0]), -(-first.size[1] // first.tile[1]))
    places: dict[int, tuple[int, int]] = {}
    expected = 0
    for number, item in enumerate(instances):
        if item.first_frame != expected:
            raise damaged("a part of a level (concatenation) is missing")
        for frame in range(item.part.frames):
            if item.positions is None:
                tile = expected + frame
                if tile >= grid[0] * grid[1]:
                    raise several_planes("more frames than tiles")
            else:
                tile = _tile_at(item.positions[frame], first.tile, grid)
            if tile in places:
                raise several_planes("several frames at one place")
            places[tile] = (number, frame)
        expected += item.part.frames
    if all(item.positions is None for item in instances) and expected != grid[0] * grid[1]:
        raise damaged("a part of a level (concatenation) is missing")
    return DicomLevel(
        *first.size, *first.tile, tuple(item.part for item in instances), places, first.label
    )


def _tile_at(position: tuple[int, int], tile: tuple[int, int], grid: tuple[int, int]) -> int:
    """Return the tile at a position (column, row, both from 1) in the total pixel matrix."""
    column, left = divmod(position[0] - 1, tile[0])
    row, top = divmod(position[1] - 1, tile[1])
    if left or top or not (0 <= column < grid[0] and 0 <= row < grid[1]):
        raise UnsupportedInputError(
            "A frame of the slide lies across the grid of tiles.",
            remedy="Export the slide with frames on one regular grid.",
            code="slide.off_grid",
        )
    return row * grid[0] + column
