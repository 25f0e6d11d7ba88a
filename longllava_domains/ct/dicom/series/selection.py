"""`list_series` and the automatic choice of one series, with the reason in words.

Of the series that are volumes, the first that wins on: axial, original, the kernel asked for
(soft by default), covers most of what was scanned, thinnest (down to a millimetre), most slices.
Where two are equal in all of it, nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from longllava_domains.ct.dicom.elements import digest
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.grouping import SubSeries
from longllava_domains.ct.reconstruction_kernel import kernel_class
from longllava_domains.errors import AmbiguousInputError, NotFoundError, UnsupportedInputError

# Slices thinner than this add noise and cost, not detail, for reading at 336 pixels.
_THIN_ENOUGH_MM: Final = 1.0
# A reconstruction of a part of the range is no substitute for the whole.
_MOST_OF_IT: Final = 0.5
_KERNELS: Final = ("soft", "sharp")
_FEWEST: Final = 2


@dataclass(frozen=True)
class SeriesRow:
    """One series that a folder holds, described without a word of its header's text.

    Attributes:
        number: 1, 2, ... in the table's order; `open_volume(path, series=number)`.
        key: Eight digits that stay the same when files are added; also taken by ``series=``.
        images: Slices or frames.
        kind: ``"volume"``, ``"localizer"`` or ``"reformat"``.
        plane: ``"axial"``, ``"coronal"``, ``"sagittal"``, ``"oblique"`` or ``"unknown"``.
        original: Image type ORIGINAL.
        kernel: ``"soft"``, ``"sharp"`` or ``"unknown"``.
        spacing_mm: Median distance between neighbouring slices; 0 where unknown.
        rows: Of each slice.
        columns: Of each slice.
        split_by: What separated it from others of its series.
        chosen: The automatic choice.
        reason: Why it was or was not chosen.
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


class SeriesTable(tuple[SeriesRow, ...]):
    """Rows of `list_series`; prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        heads = "   no  key       images  plane     kind       kernel   spacing  size       why"
        lines = [
            f"{'->' if row.chosen else '  '} {row.number:2d}  {row.key}  {row.images:6d}  "
            f"{row.plane:8s}  {row.kind:9s}  {row.kernel:7s}  {row.spacing_mm:7.2f}  "
            f"{f'{row.rows} x {row.columns}':9s}  {row.reason}"
            for row in self
        ]
        return "\n".join([heads, *lines])


def describe(series: Sequence[SubSeries]) -> list[SeriesRow]:
    """Describe each sub-series, none of them chosen yet."""
    return [_describe(number, one) for number, one in enumerate(series, 1)]


def _describe(number: int, one: SubSeries) -> SeriesRow:
    first = one.headers[0]
    identity = repr((first.series, first.image_type, first.kernel, first.rows, first.columns,
                     first.orientation, one.split_by, first.acquisition, first.phase,
                     first.kvp))  # fmt: skip
    return SeriesRow(
        number=number,
        key=digest(identity.encode())[:8],
        images=len(one.headers),
        kind=one.kind,
        plane=_plane(first),
        original="ORIGINAL" in first.image_type[:1] or not first.image_type,
        kernel=kernel_class(first.kernel),
        spacing_mm=_spacing(one.headers),
        rows=first.rows or 0,
        columns=first.columns or 0,
        split_by=one.split_by,
    )


def _plane(header: SliceHeader) -> str:
    if len(header.orientation) != 6:
        return "unknown"
    normal = np.abs(np.cross(header.orientation[:3], header.orientation[3:]))
    if normal.max() < 0.8:
        return "oblique"
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _spacing(headers: Sequence[SliceHeader]) -> float:
    placed = [header for header in headers if len(header.position_mm) == 3]
    if len(placed) < _FEWEST or len(placed[0].orientation) != 6:
        return 0.0
    normal = np.cross(placed[0].orientation[:3], placed[0].orientation[3:])
    offsets = np.sort(np.array([header.position_mm for header in placed]) @ normal)
    return round(float(np.median(np.diff(offsets))), 3)


def choose(
    series: Sequence[SubSeries], wanted: int | str | None
) -> tuple[int, str, list[SeriesRow]]:
    """Choose one sub-series.

    Args:
        series: All that were found.
        wanted: A row's number or key, ``"soft"`` or ``"sharp"`` for the kernel, or None.

    Returns:
        Its index, why (a report code), and the description of all with the reasons.

    Raises:
        NotFoundError: There is no such series, or no images at all.
        AmbiguousInputError: Two series are equally good, or they are of several patients or
            studies.
        UnsupportedInputError: There are only localizers and single images.
    """
    rows = describe(series)
    if isinstance(wanted, int) or (wanted is not None and wanted not in _KERNELS):
        index = _asked_for(rows, series, wanted)
        return index, "choice.asked", _with_reasons(rows, index, "asked for", ())
    if len(rows) == 1 and rows[0].kind != "localizer":
        return 0, "choice.only", _with_reasons(rows, 0, "the only series", ())
    kernel = wanted or "soft"
    able = [i for i, row in enumerate(rows) if row.kind != "localizer" and row.images >= _FEWEST]
    if not able:
        raise UnsupportedInputError(
            f"None of the {len(rows)} series is a volume: localizers and single images only.",
            remedy="Pass the folder of the reconstructed slices; ct.list_series(path) shows what is here.",
            code="series.no_volume",
            facts={"series": len(rows)},
        )
    _refuse_several_people([series[i].headers[0] for i in able])
    longest_mm = max(rows[i].images * rows[i].spacing_mm for i in able)
    ranks = {i: _rank(rows[i], kernel, longest_mm) for i in able}
    ranked = sorted(able, key=ranks.__getitem__)
    best = ranked[0]
    equals = [i for i in ranked if ranks[i] == ranks[best]]
    if len(equals) > 1:
        numbers = tuple(rows[i].number for i in equals)
        raise AmbiguousInputError(
            f"{len(equals)} series are equally good: {', '.join(map(str, numbers))} of {len(rows)}.",
            remedy="Pass series=NUMBER; ct.list_series(path) shows what each is.",
            code="series.ambiguous",
            facts={"equal": numbers, "series": len(rows)},
        )
    code, why = _why([ranks[i] for i in ranked], kernel)
    return best, code, _with_reasons(rows, best, why, equals)


def _asked_for(rows: list[SeriesRow], series: Sequence[SubSeries], wanted: int | str | None) -> int:
    """Return the series named by number, key or series instance UID."""
    hits = [i for i, row in enumerate(rows) if str(wanted) in (str(row.number), row.key)]
    if not hits and isinstance(wanted, str):
        uid = digest(wanted.encode())
        hits = [i for i, one in enumerate(series) if one.headers[0].series == uid]
    if len(hits) > 1:
        raise AmbiguousInputError(
            f"{len(hits)} sub-series share what was asked for.",
            remedy="Pass series=NUMBER; ct.list_series(path) shows what each is.",
            code="series.ambiguous",
            facts={"equal": tuple(rows[i].number for i in hits), "series": len(rows)},
        )
    if not hits:
        raise NotFoundError(
            f"There is no such series among the {len(rows)} found.",
            remedy="Pass a number or key of ct.list_series(path).",
            code="series.unknown",
            facts={"series": len(rows)},
        )
    return hits[0]


def _refuse_several_people(headers: Sequence[SliceHeader]) -> None:
    """Refuse to choose between patients or between examinations of one."""
    for what, found in (
        ("patients", {header.patient for header in headers}),
        ("studies", {header.study for header in headers}),
    ):
        if len(found) > 1:
            raise AmbiguousInputError(
                f"The series belong to {len(found)} {what}; which one is meant cannot be guessed.",
                remedy="Pass the folder of one study, or series=NUMBER of ct.list_series(path).",
                code=f"series.several_{what}",
                facts={what: len(found)},
            )


_CRITERIA: Final = ("kind", "plane", "original", "kernel", "coverage", "thin", "slices")


def _rank(row: SeriesRow, kernel: str, longest_mm: float) -> tuple[float, ...]:
    """Return what series are compared by, smaller is better, in the order of `_CRITERIA`."""
    return (
        row.kind != "volume",
        row.plane != "axial",
        not row.original,
        {kernel: 0, "unknown": 1}.get(row.kernel, 2),
        row.images * row.spacing_mm < _MOST_OF_IT * longest_mm,
        max(row.spacing_mm, _THIN_ENOUGH_MM) if row.spacing_mm else 1e3,
        -row.images,
    )


def _why(ranks: list[tuple[float, ...]], kernel: str) -> tuple[str, str]:
    """Say which criterion decided against the runner-up."""
    if len(ranks) == 1:
        return "choice.only_volume", "the only volume"
    pairs = zip(_CRITERIA, ranks[0], ranks[1], strict=True)
    decided = next(name for name, best, second in pairs if best != second)
    other = next(name for name in _KERNELS if name != kernel)
    is_known = ranks[0][_CRITERIA.index("kernel")] == 0
    words = {
        "kind": "a volume rather than a reformat",
        "plane": "axial",
        "original": "original rather than derived",
        "kernel": f"{kernel} kernel" if is_known else f"kernel unknown rather than {other}",
        "coverage": "covers most of what was scanned",
        "thin": "thinnest",
        "slices": "most slices",
    }
    return f"choice.{decided}", words[decided]


def _with_reasons(
    rows: list[SeriesRow], best: int | None, why: str, equals: Sequence[int]
) -> list[SeriesRow]:
    reasons = []
    for index, row in enumerate(rows):
        if index == best:
            reason = why
        elif index in equals:
            reason = "as good as another"
        elif row.kind == "volume" and row.images < _FEWEST:
            reason = "single image"
        else:
            reason = row.kind if row.kind != "volume" else "not preferred"
        reasons.append(replace(row, chosen=index == best, reason=reason))
    return reasons


def tabulate(series: Sequence[SubSeries], kernel: str | None = None) -> SeriesTable:
    """Return all series with the automatic choice marked, or none where there is none.

    Args:
        series: All that were found.
        kernel: ``"soft"`` or ``"sharp"``; soft by default.
    """
    try:
        return SeriesTable(choose(series, kernel)[2])
    except AmbiguousInputError as error:
        equal = error.facts.get("equal", ())
        numbers = equal if isinstance(equal, tuple) else ()
        rows = describe(series)
        tied = [index for index, row in enumerate(rows) if row.number in numbers]
        return SeriesTable(_with_reasons(rows, None, "", tied))
    except UnsupportedInputError:
        return SeriesTable(_with_reasons(describe(series), None, "", ()))
