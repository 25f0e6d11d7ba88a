"""The rows of `list_series`: what each series is, without a word of its header's text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from longllava_domains.ct.body_part import regions
from longllava_domains.ct.dicom.elements import digest
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.grouping import SubSeries
from longllava_domains.ct.dicom.series.places import are_placed, normal_of, offsets_mm, step_mm
from longllava_domains.ct.reconstruction_kernel import kernel_class

FEWEST_SLICES: Final = 2


@dataclass(frozen=True)
class SeriesRow:
    """One series that a folder holds, described without a word of its header's text.

    Attributes:
        number: Row 1, 2, ... of the table; `open_volume(path, series=number)`. Not the DICOM
            Series Number.
        key: Eight digits that stay the same when files are added; also taken by ``series=``.
        images: Slices or frames.
        kind: ``"volume"``, ``"localizer"``, ``"reformat"`` or ``"map"`` (of a material).
        plane: ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"oblique"`` or ``"unknown"``.
        original: Image type ORIGINAL.
        kernel: ``"soft"``, ``"sharp"``, ``"mixed"`` or ``"unknown"``.
        spacing_mm: Median distance between neighbouring slices; 0 where unknown.
        rows: Of each slice.
        columns: Of each slice.
        split_by: What separated it from others of its series.
        chosen: The automatic choice.
        reason: Why it was or was not chosen.
        series_number: The DICOM Series Number (0020,0011), None where the header has none.
        z_range_mm: Lowest and highest slice centre along the slice normal; None where unknown.
        body_part: Regions that the header names, from a fixed list, such as ``"CHEST ABDOMEN"``.
        phase: ``"contrast"``, ``"native"`` where the header denies contrast, ``"2 of 5"`` for one
            of several phases, or both; empty where the header says nothing.
        part_of_series: Other images under its UID lie where it has none.
    """

    number: int
    key: str
    images: int
    kind: str
    plane: str
    original: bool
    kernel: str
    spacing_mm: float
    rows: int
    columns: int
    split_by: tuple[str, ...] = ()
    chosen: bool = False
    reason: str = ""
    series_number: int | None = None
    z_range_mm: tuple[float, float] | None = None
    body_part: str = ""
    phase: str = ""
    part_of_series: bool = False


class SeriesTable(tuple[SeriesRow, ...]):
    """Rows of `list_series`; prints as a table.

    Args:
        rows: The rows.
        none_chosen: Why no row is chosen; empty where one is.

    Attributes:
        none_chosen: As given.
    """

    none_chosen: str

    def __new__(cls, rows: Iterable[SeriesRow] = (), none_chosen: str = "") -> Self:
        """Make the table."""
        made = super().__new__(cls, rows)
        made.none_chosen = none_chosen
        return made

    def __str__(self) -> str:
        heads = (
            "   row  key       SeriesNumber  images  plane     kind       kernel   spacing  size       "
            f"{'z range, mm':18s}  {'body part':16s}  {'phase':16s}  why"
        )
        why = [f"No series is chosen: {self.none_chosen}"] if self.none_chosen else []
        return "\n".join([heads, *map(_line, self), *why])


def _line(row: SeriesRow) -> str:
    number = "-" if row.series_number is None else str(row.series_number)
    span = "-" if row.z_range_mm is None else f"{row.z_range_mm[0]:.1f} to {row.z_range_mm[1]:.1f}"
    return (
        f"{'->' if row.chosen else '  '} {row.number:3d}  {row.key}  {number:>12s}  {row.images:6d}  "
        f"{row.plane:8s}  {row.kind:9s}  {row.kernel:7s}  {row.spacing_mm:7.2f}  "
        f"{f'{row.rows} x {row.columns}':9s}  {span:18s}  {row.body_part or '-':16s}  "
        f"{row.phase or '-':16s}  {row.reason}"
    )


def describe(series: Sequence[SubSeries]) -> list[SeriesRow]:
    """Describe each sub-series, none of them chosen yet."""
    return [describe_one(number, one) for number, one in enumerate(series, 1)]


def describe_one(number: int, one: SubSeries) -> SeriesRow:
    """Describe one sub-series."""
    first = one.headers[0]
    identity = repr((first.series, first.image_type, first.kernel, first.rows, first.columns,
                     first.orientation, first.frame_of_reference, one.split_by, first.acquisition, first.phase_marks,
                     first.kvp, one.phase))  # fmt: skip
    return SeriesRow(
        number=number,
        key=digest(identity.encode())[:8],
        images=len(one.headers),
        kind=one.kind,
        plane=_plane(first),
        original="ORIGINAL" in first.image_type[:1] or not first.image_type,
        kernel=kernel_of(one.headers),
        spacing_mm=_spacing(one.headers),
        rows=first.rows or 0,
        columns=first.columns or 0,
        split_by=one.split_by,
        series_number=first.series_number,
        z_range_mm=one.span_mm,
        body_part=" ".join(regions(header.body_part for header in one.headers)),
        phase=_phase(one),
        part_of_series=bool(one.rest),
    )


def kernel_of(headers: Sequence[SliceHeader]) -> str:
    """Return ``"soft"``, ``"sharp"``, ``"unknown"``, or ``"mixed"`` where slices differ."""
    found = {kernel_class(header.kernel) for header in headers}
    return found.pop() if len(found) == 1 else "mixed"


def _phase(one: SubSeries) -> str:
    marks = {header.contrast for header in one.headers}
    words = [marks.pop()] if len(marks) == 1 else ["contrast in part"]
    if one.split_by:
        words.append(f"{one.phase[0]} of {one.phase[1]}")
    return " ".join(word for word in words if word)


def _plane(header: SliceHeader) -> str:
    if len(header.orientation) != 6:
        return "unknown"
    normal = np.abs(np.cross(header.orientation[:3], header.orientation[3:]))
    if normal.max() < 0.8:
        return "oblique"
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _spacing(headers: Sequence[SliceHeader]) -> float:
    if len(headers) < FEWEST_SLICES or not are_placed(headers):
        return 0.0
    return round(step_mm(offsets_mm(headers, normal_of(headers[0]))), 3)
