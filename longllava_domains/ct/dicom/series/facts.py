"""Facts that are passed on about a series: numbers, and words from fixed lists only."""

from collections.abc import Sequence

from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.series.table import SeriesRow
from longllava_domains.ct.views.windows import HEADER_WINDOWS, header_facts


def series_facts(headers: Sequence[SliceHeader], row: SeriesRow) -> dict[str, str | float]:
    """Return acquisition facts, words only from a fixed list; the header's own text never."""
    first = headers[0]
    facts: dict[str, str | float] = {"kernel": row.kernel, "plane": row.plane, "why": row.reason}
    if row.body_part:
        facts["body_part"] = row.body_part
    if row.phase:
        facts["phase"] = row.phase
    if first.age_from_years is not None:
        facts["age_from_years"] = first.age_from_years
    if first.manufacturer:
        facts["manufacturer"] = first.manufacturer
    if first.sex:
        facts["sex"] = first.sex
    if first.thickness_mm:
        facts["thickness_mm"] = first.thickness_mm
    if first.kvp:
        facts["kvp"] = first.kvp
    for name, (center_hu, width_hu) in zip(HEADER_WINDOWS, first.windows, strict=False):
        facts |= header_facts(name, center_hu, width_hu, first.window_function)
    return facts


def series_numbers(row: SeriesRow) -> dict[str, float]:
    """Return which series was read: its row, its DICOM Series Number and its range."""
    numbers: dict[str, float] = {"series_row": row.number}
    if row.series_number is not None:
        numbers["series_number"] = row.series_number
    if row.z_range_mm is not None:
        numbers["z_low_mm"], numbers["z_high_mm"] = row.z_range_mm
    return numbers
