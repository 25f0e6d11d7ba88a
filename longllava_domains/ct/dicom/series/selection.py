"""Choose one series of a folder: by what was asked for, or the best of the ranking; and say why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from longllava_domains.ct.body_part import Purpose
from longllava_domains.ct.dicom.elements import digest
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.grouping import SubSeries
from longllava_domains.ct.dicom.series.ranking import KERNELS, Ranking, lie_apart
from longllava_domains.ct.dicom.series.table import (
    FEWEST_SLICES,
    SeriesRow,
    SeriesTable,
    describe,
)
from longllava_domains.errors import AmbiguousInputError, NotFoundError, UnsupportedInputError

_ANOTHER: Final = 2  # rank of a region or phase that is another than was asked for
_NO_PURPOSE: Final = Purpose()
_A_PART: Final = "The best one is a part of a series, whose other images lie elsewhere."


@dataclass(frozen=True)
class SeriesChoice:
    """One sub-series, and why.

    Attributes:
        index: Its index.
        codes: Report codes: what decided, and what else was there.
        numbers: Report numbers, such as ``sharp_spacing_mm``.
        rows: The description of all, with the reasons.
    """

    index: int
    codes: Counter[str]
    numbers: dict[str, float]
    rows: list[SeriesRow]


def choose(
    series: Sequence[SubSeries], wanted: int | str | None, purpose: Purpose = _NO_PURPOSE
) -> SeriesChoice:
    """Choose one sub-series.

    Args:
        series: All that were found.
        wanted: A row's number or key, a series UID, ``"soft"`` or ``"sharp"`` for the kernel, or
            None.
        purpose: Region and phase that are preferred.

    Raises:
        NotFoundError: There is no such series, or no images at all.
        AmbiguousInputError: Two series are equally good, or they are of several patients or
            studies.
        UnsupportedInputError: There are only localizers, maps and single images.
    """
    rows = describe(series)
    if isinstance(wanted, int) or (wanted is not None and wanted not in KERNELS):
        index = _asked_for(rows, series, wanted)
        return _chosen(rows, index, "asked", "asked for", ())
    if len(rows) == 1 and rows[0].kind not in ("localizer", "map"):
        return _noting_purpose(_chosen(rows, 0, "only", "the only series", ()), purpose)
    able = [
        i
        for i, row in enumerate(rows)
        if row.kind in ("volume", "reformat") and row.images >= FEWEST_SLICES
    ]
    if not able:
        raise _no_volume(rows)
    _refuse_several_people([series[i].headers[0] for i in able])
    ranking = Ranking(rows, able, wanted or "soft", purpose)
    # A part of a series is refused for that, whatever it is as good as.
    if len(ranking.equal) > 1 and not rows[ranking.order[0]].part_of_series:
        numbers = tuple(rows[i].number for i in ranking.equal)
        raise AmbiguousInputError(
            f"{len(numbers)} series are equally good: {', '.join(map(str, numbers))} of "
            f"{len(rows)}{ranking.difference}.",
            remedy=f"Pass series=NUMBER; ct.list_series(path) shows what each is{ranking.hint}.",
            code="series.ambiguous",
            facts={"equal": numbers, "series": len(rows)},
        )
    best, (code, why) = ranking.order[0], ranking.why()
    found = _chosen(rows, best, code, why, ())
    _note_others(found, able)
    return _noting_purpose(found, purpose)


def _chosen(
    rows: list[SeriesRow], index: int, code: str, why: str, equals: Sequence[int]
) -> SeriesChoice:
    return SeriesChoice(
        index, Counter({f"choice.{code}": 1}), {}, _with_reasons(rows, index, why, equals)
    )


def _noting_purpose(found: SeriesChoice, purpose: Purpose) -> SeriesChoice:
    """Note a region or phase that was asked for and that the best series says it has not."""
    best = found.rows[found.index]
    if purpose.region_rank(best.body_part) == _ANOTHER:
        found.codes["choice.another_region"] = 1
    if purpose.phase_rank(best.phase) == _ANOTHER:
        found.codes["choice.another_phase"] = 1
    return found


def _note_others(found: SeriesChoice, able: list[int]) -> None:
    """Note a sharp reconstruction that was passed over, and volumes of other ranges."""
    best = found.rows[found.index]
    others = [found.rows[i] for i in able if i != found.index and found.rows[i].kind == "volume"]
    sharp = [row for row in others if row.kernel == "sharp" and not lie_apart(row, best)]
    if best.kernel != "sharp" and sharp:
        found.codes["choice.sharp_available"] = len(sharp)
        thinnest = min(sharp, key=lambda row: row.spacing_mm or 1e3)
        found.numbers["sharp_spacing_mm"] = thinnest.spacing_mm
        found.numbers["sharp_row"] = thinnest.number
    elsewhere = sum(lie_apart(row, best) for row in others)
    if elsewhere:
        found.codes["choice.other_range"] = elsewhere


def _asked_for(rows: list[SeriesRow], series: Sequence[SubSeries], wanted: int | str | None) -> int:
    """Return the series named by number, key or series instance UID."""
    hits = [i for i, row in enumerate(rows) if str(wanted) in (str(row.number), row.key)]
    if not hits and isinstance(wanted, str):
        uid = digest(wanted.encode())
        hits = [i for i, one in enumerate(series) if one.headers[0].series == uid]
        # A scout under the same UID is not what a UID is passed for.
        hits = [i for i in hits if rows[i].kind != "localizer"] or hits
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
            remedy="Pass a row number or key of ct.list_series(path); row numbers are not the "
            "DICOM Series Number.",
            code="series.unknown",
            facts={"series": len(rows)},
        )
    return hits[0]


def _no_volume(rows: list[SeriesRow]) -> UnsupportedInputError:
    """Say what there is instead of a volume."""
    counted = Counter(
        row.kind if row.kind != "volume" or row.images >= FEWEST_SLICES else "single image"
        for row in rows
    )
    words = {"localizer": "localizers", "map": "material maps", "single image": "single images",
             "reformat": "single reformats"}  # fmt: skip
    listed = ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in counted.items())
    single = counted["single image"]
    if single > 1 and single == len(rows):
        return UnsupportedInputError(
            f"Each of the {single} images has a series UID of its own, so nothing says that they "
            "are one series.",
            remedy="De-identify again with one series UID for each series, or pass a series "
            "alone with series=NUMBER.",
            code="series.no_volume",
            facts={"series": len(rows), "single_images": single},
        )
    return UnsupportedInputError(
        f"None of the {len(rows)} series is a volume in Hounsfield units: {listed}.",
        remedy="Pass the folder of the reconstructed slices; ct.list_series(path) shows what is here.",
        code="series.no_volume",
        facts={"series": len(rows), "single_images": single},
    )


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


def _with_reasons(
    rows: list[SeriesRow], best: int | None, why: str, equals: Sequence[int]
) -> list[SeriesRow]:
    reasons = []
    for index, row in enumerate(rows):
        if index == best:
            reason = why
        elif index in equals:
            reason = "as good as another"
        elif row.kind == "volume" and row.images < FEWEST_SLICES:
            reason = "single image"
        else:
            reason = row.kind if row.kind != "volume" else "not preferred"
        if row.part_of_series:
            reason += ", a part of its series"
        reasons.append(replace(row, chosen=index == best, reason=reason))
    return reasons


def tabulate(
    series: Sequence[SubSeries], kernel: str | None = None, purpose: Purpose = _NO_PURPOSE
) -> SeriesTable:
    """Return all series with the automatic choice marked, or none where there is none.

    Args:
        series: All that were found.
        kernel: ``"soft"`` or ``"sharp"``; soft by default.
        purpose: Region and phase that are preferred.
    """
    try:
        choice = choose(series, kernel, purpose)
        if not choice.rows[choice.index].part_of_series:
            return SeriesTable(choice.rows)
        return SeriesTable(_with_reasons(describe(series), None, "", ()), _A_PART)
    except AmbiguousInputError as error:
        equal = error.facts.get("equal", ())
        numbers = equal if isinstance(equal, tuple) else ()
        rows = describe(series)
        tied = [index for index, row in enumerate(rows) if row.number in numbers]
        return SeriesTable(_with_reasons(rows, None, "", tied), error.message)
    except UnsupportedInputError as error:
        return SeriesTable(_with_reasons(describe(series), None, "", ()), error.message)
