"""Open a DICOM series as a CT volume: find, read headers, choose, prove, and only then decode."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from longllava_domains.ct.dicom.geometry.slice_grid import parse_repair, verify_geometry
from longllava_domains.ct.dicom.geometry.stack import common_size
from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.rescale import scales
from longllava_domains.ct.dicom.series.grouping import SubSeries
from longllava_domains.ct.dicom.series.selection import choose
from longllava_domains.ct.dicom.series.study import Study, read_study
from longllava_domains.ct.dicom.slice_source import DicomSource
from longllava_domains.ct.dicom.stored_values import check_storage, naming, read_patterns
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.ct.reconstruction_kernel import kernel_class
from longllava_domains.ct.views.windows import HEADER_WINDOWS, header_facts
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
    repair: tuple[str, ...],
    hu: HuSource,
) -> CTVolume:
    """Open one DICOM series, from a path or from files already found; see `ct.open_volume`."""
    allowed = parse_repair(repair)
    study = read_study(source)
    index, why, _ = choose(study.series, series)
    chosen = study.series[index]
    _refuse_mixed(chosen, asked=isinstance(series, int) or series not in (None, "soft", "sharp"))
    _refuse_cut(study, chosen)
    codes = Counter(study.codes)
    codes[why] += 1
    others = sum(len(one.headers) for one in study.series) - len(chosen.headers)
    if others:
        codes["file.other_series"] += others
    size = common_size(chosen.headers)
    for header in chosen.headers:
        with naming(header):
            check_storage(header)
    stack = verify_geometry(chosen.headers, allowed, _identical)
    rule = scales(chosen.headers, hu)
    slices = DicomSource(stack, rule.scale_of, size)
    codes.update(rule.codes)
    codes.update(stack.codes)
    codes.update(_pixel_codes(chosen.headers))
    numbers = {**stack.numbers, **rule.numbers}
    enhanced = any(header.grouped for header in chosen.headers)
    report = LoadReport("dicom-enhanced" if enhanced else "dicom", codes, numbers)
    return CTVolume(slices, slices.affine_ras_mm, report, _facts(chosen.headers))


def _refuse_mixed(chosen: SubSeries, *, asked: bool) -> None:
    if chosen.other_sizes and not asked:
        raise GeometryError(
            f"{chosen.other_sizes} slices of this series have another size than the other "
            f"{len(chosen.headers)}.",
            remedy="Pass series=NUMBER of ct.list_series(path) to take those of one size.",
            code="ct.mixed_size",
            facts={"slices": len(chosen.headers), "other_size": chosen.other_sizes},
        )
    if chosen.mixed:
        raise AmbiguousInputError(
            "One series UID holds images of different patients or studies.",
            remedy="De-identify or export the studies again, each with its own UIDs.",
            code="series.mixed_patients",
            facts={"images": len(chosen.headers)},
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


_REGIONS: Final = ("CHEST", "THORAX", "LUNG", "HEART", "ABDOMEN", "PELVIS", "HEAD", "BRAIN",
                   "SKULL", "NECK", "SPINE", "KNEE", "ANKLE", "FOOT", "HAND", "SHOULDER", "HIP",
                   "EXTREMITY", "WHOLEBODY")  # fmt: skip


def _facts(headers: tuple[SliceHeader, ...]) -> dict[str, str | float]:
    """Return acquisition facts, words only from a fixed list."""
    first = headers[0]
    facts: dict[str, str | float] = {"kernel": kernel_class(first.kernel)}
    # "CHESTABDPELVIS" and the like are several regions; the text itself is never passed on.
    regions = [region for region in _REGIONS if region in first.body_part]
    if regions:
        facts["body_part"] = " ".join(regions)
    if first.thickness_mm:
        facts["thickness_mm"] = first.thickness_mm
    if first.kvp:
        facts["kvp"] = first.kvp
    for name, (center_hu, width_hu) in zip(HEADER_WINDOWS, first.windows, strict=False):
        facts |= header_facts(name, center_hu, width_hu, first.window_function)
    return facts
