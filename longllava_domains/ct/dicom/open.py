"""Open a DICOM series as a CT volume: find, read headers, choose, prove, and only then decode."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.body_part import parse_purpose
from longllava_domains.ct.dicom.geometry.repair import parse_repair
from longllava_domains.ct.dicom.geometry.slice_grid import arrange
from longllava_domains.ct.dicom.geometry.stack import SliceArrangement, common_size
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.rescale import scales
from longllava_domains.ct.dicom.series.completeness import account_for
from longllava_domains.ct.dicom.series.facts import series_facts, series_numbers
from longllava_domains.ct.dicom.series.grouping import SubSeries
from longllava_domains.ct.dicom.series.phases import seam_of
from longllava_domains.ct.dicom.series.places import span_mm
from longllava_domains.ct.dicom.series.ranking import KERNELS
from longllava_domains.ct.dicom.series.selection import choose
from longllava_domains.ct.dicom.series.study import Study, read_study
from longllava_domains.ct.dicom.slice_source import DicomSource
from longllava_domains.ct.dicom.stored_values import (
    HuScale,
    check_storage,
    naming,
    read_patterns,
)
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.ct.slice_source import PlacedSlices
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    GeometryError,
)
from longllava_domains.formats.dicom.codecs import COMPRESSED, MAY_BE_LOSSY, NATIVE
from longllava_domains.formats.dicom.source_file import Found
from longllava_domains.load_report import LoadReport


def open_dicom(
    source: str | Path | Found,
    *,
    series: int | str | None,
    purpose: str | None = None,
    repair: tuple[str, ...],
    hu: HuSource,
) -> CTVolume:
    """Open one DICOM series, from a path or from files already found; see `ct.open_volume`."""
    allowed, wanted = parse_repair(repair), parse_purpose(purpose)
    study = read_study(source)
    choice = choose(study.series, series, wanted)
    chosen = study.series[choice.index]
    _refuse_mixed(chosen)
    is_asked = isinstance(series, int) or series not in (None, *KERNELS)
    codes = Counter(study.codes) + choice.codes
    codes += account_for(study, chosen, asked=is_asked)
    _refuse_cut(study, chosen)
    _check_copies(chosen)
    others = sum(len(one.headers) for one in study.series) - len(chosen.headers)
    if others:
        codes["file.other_series"] += others
    size = common_size(chosen.headers)
    for header in chosen.headers:
        with naming(header):
            check_storage(header)
    steps_mm = tuple(span for step in seam_of(list(chosen.headers)) if (span := span_mm(step)))
    stacks = arrange(chosen.headers, allowed, _identical, steps_mm)
    rule = scales(chosen.headers, hu)
    acquired = DicomSource(stacks.acquired, rule.scale_of, size)
    placed = acquired.placed(stacks.offsets_mm)
    slices, place = _on_grid(stacks, acquired, placed, rule.scale_of, size)
    stack = stacks.grid or stacks.acquired
    codes += Counter({**rule.codes, **stack.codes}) + _pixel_codes(chosen.headers)
    if stacks.refusal is not None:
        codes.update(("geometry.no_grid", stacks.refusal.code))
    row = choice.rows[choice.index]
    numbers = {**choice.numbers, **stack.numbers, **rule.numbers, **series_numbers(row)}
    enhanced = any(header.grouped for header in chosen.headers)
    report = LoadReport("dicom-enhanced" if enhanced else "dicom", codes, numbers)
    facts = series_facts(chosen.headers, row)
    return CTVolume(slices, place, report, facts, acquired=placed)


def _on_grid(
    stacks: SliceArrangement,
    acquired: DicomSource,
    placed: PlacedSlices | None,
    scale_of: Callable[[SliceHeader], HuScale],
    size: tuple[int, int],
) -> tuple[DicomSource, NDArray[np.float64] | GeometryError]:
    """Return the slices on their grid with its affine, or as acquired with the refusal.

    Raises:
        GeometryError: No grid, and a series that is shown across its slices.
    """
    if stacks.grid is not None:
        slices = DicomSource(stacks.grid, scale_of, size)
        return slices, slices.affine_ras_mm
    assert stacks.refusal is not None
    if placed is None:
        raise stacks.refusal
    return acquired, stacks.refusal


def _refuse_mixed(chosen: SubSeries) -> None:
    if chosen.mixed:
        raise AmbiguousInputError(
            "One series UID holds images of different patients or studies.",
            remedy="De-identify or export the studies again, each with its own UIDs.",
            code="series.mixed_patients",
            facts={"images": len(chosen.headers)},
        )


def _check_copies(chosen: SubSeries) -> None:
    """Refuse files that claim to be one instance and hold different pixels."""
    different = sum(not _identical(one, copy) for one, copy in chosen.copies)
    if different:
        raise DamagedInputError(
            f"{different} files share the instance UID and the place of another file and hold "
            "other pixels.",
            remedy="Copy or export the series again; which file is right cannot be known.",
            code="ct.copies_differ",
            facts={"copies": len(chosen.copies), "different": different},
        )


def _refuse_cut(study: Study, chosen: SubSeries) -> None:
    cut = study.cut[chosen.headers[0].series]
    if cut:
        raise DamagedInputError(
            f"{cut} files of this series end before their pixels.",
            remedy="Copy or export the series again.",
            code="ct.cut_files",
            facts={"cut": cut, "whole": len(chosen.headers)},
        )


def _identical(first: SliceHeader, second: SliceHeader) -> bool:
    same_scale = (first.slope, first.intercept) == (second.slope, second.intercept)
    return same_scale and np.array_equal(read_patterns(first)[0], read_patterns(second)[0])


def _pixel_codes(headers: tuple[SliceHeader, ...]) -> Counter[str]:
    """Count decoders and what is notable about pixels."""
    codes: Counter[str] = Counter()
    for header in headers:
        decoder = _decoder(header)
        codes[f"decoder.{decoder}"] += 1
        if header.lossy or decoder in MAY_BE_LOSSY:
            codes["pixel.lossy"] += 1
        if header.photometric == "MONOCHROME1":
            codes["pixel.monochrome1_not_inverted"] += 1
        if header.bad:
            codes["header.unreadable_value"] += 1
        if header.padding:
            codes["padding.declared"] += 1
    for name, read in _ALIKE.items():
        values = {read(header) for header in headers}
        if len(values) > 1:
            codes[f"{name}_varies"] = len(values)
    return codes


# What all slices of a series should share; where they do not, a header may be damaged.
_ALIKE: Final[dict[str, Callable[[SliceHeader], object]]] = {
    "pixel.bits": lambda header: (header.bits_stored, header.high_bit),
    "pixel.sign": lambda header: header.signed,
    "padding.value": lambda header: header.padding,
    "pixel.syntax": lambda header: header.syntax,
    "acquisition.energy": lambda header: header.kvp,
}


def _decoder(header: SliceHeader) -> str:
    if header.pixel_length is not None:
        return NATIVE.get(header.syntax, "uncompressed")
    return COMPRESSED.get(header.syntax, "by_content")
