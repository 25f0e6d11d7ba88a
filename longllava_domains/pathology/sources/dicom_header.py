"""The few values of one DICOM slide instance that are kept, checked while they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.colour_stream import Colour
from longllava_domains.formats.dicom.codecs import COMPRESSED, NATIVE
from longllava_domains.formats.dicom.pydicom_parser import parsing, read_with_pixels
from longllava_domains.formats.dicom.source_file import SourceFile
from longllava_domains.pathology.sources.tiff_index import several_planes, unsupported

_WSI: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
# Kinds of image that show a label, or a whole glass with one.
LABELS: Final = frozenset({"LABEL", "OVERVIEW", "THUMBNAIL"})
# What the tag says of colours; None where it names a transform of JPEG 2000, which the codestream
# proves or disproves.
_COLOURS: Final[dict[str, Colour | None]] = {
    "RGB": "rgb", "YBR_FULL": "ycbcr", "YBR_FULL_422": "ycbcr", "YBR_ICT": None, "YBR_RCT": None,
}  # fmt: skip
_MAX_SIDE: Final = 4_000_000
_MAX_TILE_PIXELS: Final = 64 * 2**20
_MAX_FRAMES: Final = 20_000_000


@dataclass(frozen=True)
class Part:
    """One instance that holds frames of a level.

    Attributes:
        file: Where.
        syntax: Transfer syntax UID.
        frames: How many.
        offset: Of the pixel data's value.
        length: Bytes; None where encapsulated.
        planar: Uncompressed samples lie in planes.
    """

    file: SourceFile
    syntax: str
    frames: int
    offset: int
    length: int | None
    planar: bool


@dataclass(frozen=True)
class Instance:
    """The few values of one header that are kept."""

    part: Part
    series: str
    kind: str
    size: tuple[int, int]
    tile: tuple[int, int]
    label: Colour | None
    concatenation: str | None
    first_frame: int
    positions: tuple[tuple[int, int], ...] | None
    spacing_um: tuple[float, float] | None
    objective_power: float | None
    has_icc: bool


def read_instance(file: SourceFile) -> Instance | None:
    """Read one header; None where it is of another kind than slides.

    Raises:
        UnparsableError: It cannot be parsed.
        UnsupportedInputError: A slide of a kind that is not read.
        DamagedInputError: A slide whose header contradicts itself.
    """
    dataset, offset, length = read_with_pixels(file)
    with parsing():
        if str(dataset.get("SOPClassUID", "")) != _WSI:
            return None
        kinds = [str(value).upper() for value in dataset.get("ImageType", [])]
        kind = kinds[2] if len(kinds) > 2 else "VOLUME"
        facts = _facts(dataset)
        if kind not in LABELS:
            _require_brightfield(facts)
        return _described(file, dataset, facts, kind, offset, length)


def _facts(dataset: Any) -> dict[str, Any]:
    """Return the values that decide whether a slide is read at all."""
    return {
        "samples": int(dataset.SamplesPerPixel),
        "bits": int(dataset.BitsAllocated),
        "colours": str(dataset.PhotometricInterpretation).upper(),
        "planes": int(dataset.get("TotalPixelMatrixFocalPlanes") or 1),
        "paths": int(dataset.get("NumberOfOpticalPaths") or 1),
        "frames": int(dataset.get("NumberOfFrames") or 1),
        "size": (int(dataset.TotalPixelMatrixColumns), int(dataset.TotalPixelMatrixRows)),
        "tile": (int(dataset.Columns), int(dataset.Rows)),
        "syntax": str(dataset.file_meta.TransferSyntaxUID),
    }


def _require_brightfield(facts: dict[str, Any]) -> None:
    if facts["bits"] != 8:
        raise unsupported(f"its samples have {facts['bits']} bits, a slide has 8", "bits")
    if facts["samples"] != 3:
        raise unsupported(
            f"it has {facts['samples']} channel(s): fluorescence, no brightfield", "fluorescence"
        )
    if facts["colours"] not in _COLOURS:
        raise unsupported("its photometric interpretation is no kind of RGB", "channels")
    if facts["planes"] > 1 or facts["paths"] > 1:
        raise several_planes("several focal planes or optical paths")
    if facts["syntax"] not in (*COMPRESSED, *NATIVE):
        raise unsupported("its transfer syntax is not read", "codec")
    # Uncompressed 4:2:2 drops samples of its own accord; no scanner writes it.
    if facts["colours"] == "YBR_FULL_422" and facts["syntax"] in NATIVE:
        raise unsupported("its pixels are uncompressed 4:2:2", "codec")
    (width, height), tile = facts["size"], facts["tile"]
    if min(width, height, *tile, facts["frames"]) < 1 or max(width, height) > _MAX_SIDE:
        raise damaged("a level or a tile has no size that a slide can have")
    if tile[0] * tile[1] > _MAX_TILE_PIXELS or facts["frames"] > _MAX_FRAMES:
        raise unsupported("its frames are larger, or more, than a slide's", "giant_block")


def _described(
    file: SourceFile, dataset: Any, facts: dict[str, Any], kind: str, offset: int,
    length: int | None,
) -> Instance:  # fmt: skip
    paths = dataset.get("OpticalPathSequence") or [{}]
    full = str(dataset.get("DimensionOrganizationType", "")).upper() == "TILED_FULL"
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    positions = None
    if not full and per_frame and kind not in LABELS:
        positions = _positions(per_frame, facts["frames"])
    concatenation = dataset.get("ConcatenationUID")
    return Instance(
        part=Part(
            file, facts["syntax"], facts["frames"], offset, length,
            int(dataset.get("PlanarConfiguration") or 0) == 1,
        ),
        series=str(dataset.get("SeriesInstanceUID", "")),
        kind=kind,
        size=facts["size"],
        tile=facts["tile"],
        label=_COLOURS.get(facts["colours"]),
        concatenation=None if concatenation is None else str(concatenation),
        first_frame=int(dataset.get("ConcatenationFrameOffsetNumber") or 0),
        positions=positions,
        spacing_um=_spacing_um(dataset, per_frame),
        objective_power=_objective_power(paths[0]),
        has_icc="ICCProfile" in paths[0],
    )  # fmt: skip


def _positions(per_frame: Sequence[Any], frames: int) -> tuple[tuple[int, int], ...] | None:
    """Return (column, row) of each frame, from 1; None where frames say nothing."""
    if "PlanePositionSlideSequence" not in per_frame[0]:
        return None
    if len(per_frame) != frames:
        raise damaged("not every frame says where it lies")
    places = [group.PlanePositionSlideSequence[0] for group in per_frame]
    return tuple(
        (int(place.ColumnPositionInTotalImagePixelMatrix),
         int(place.RowPositionInTotalImagePixelMatrix))
        for place in places
    )  # fmt: skip


def _spacing_um(dataset: Any, per_frame: Any) -> tuple[float, float] | None:
    """Return microns per pixel along (x, y); PixelSpacing gives rows (y) first, in mm."""
    for groups in (dataset.get("SharedFunctionalGroupsSequence"), per_frame):
        measures = groups[0].get("PixelMeasuresSequence") if groups else None
        spacing = measures[0].get("PixelSpacing") if measures else None
        if spacing is not None and len(spacing) == 2:
            return float(spacing[1]) * 1000, float(spacing[0]) * 1000
    sizes = (dataset.get("ImagedVolumeWidth"), dataset.get("ImagedVolumeHeight"))
    columns, rows = dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows
    if all((*sizes, columns, rows)):
        return float(sizes[0]) * 1000 / columns, float(sizes[1]) * 1000 / rows
    return None


def _objective_power(path: Any) -> float | None:
    power = path.get("ObjectiveLensPower")
    return float(power) if power else None


def damaged(found: str) -> DamagedInputError:
    """Return the error for a DICOM slide whose headers contradict themselves."""
    return DamagedInputError(
        f"The DICOM slide cannot be used: {found}.",
        remedy="Copy or export the whole slide again.",
        code="slide.damaged",
    )
