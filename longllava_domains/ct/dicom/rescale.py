"""Decide by which slope and intercept stored values are Hounsfield units, and on what evidence.

PS3.3 C.8.2.1: a CT image has Rescale Slope and Intercept, and its Rescale Type is HU unless it
says otherwise (localizers aside). Where the header leaves that open, the values decide; and where
it says the unit, the values still have to be plausible. Three slices are decoded for that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.dicom.header import SliceHeader
from longllava_domains.ct.dicom.stored_values import (
    HuScale,
    has_bits_beyond,
    naming,
    padding_range,
    read_slice,
)
from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.hounsfield.evidence import assess_hu, refuse
from longllava_domains.ct.hounsfield.plausibility import (
    AIR_NOTED_HU,
    judge,
    refuse_implausible,
)
from longllava_domains.ct.hounsfield.rescale import HuSource, check_rule
from longllava_domains.errors import IntensityError, PolicyError

_SAMPLED: Final = 3
# How Rescale Type spells the unit, and how it spells that it does not say.
_HU_WORDS: Final = frozenset(
    {"", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "H.U."}
)
_UNSPECIFIED: Final = frozenset({"US", "UNSPECIFIED"})
_OR_TRUST: Final = 'or hu="trust" if you know better.'
_TRUST: Final = 'Pass hu=(slope, intercept), or hu="trust" if you know that they are.'


@dataclass
class ScaleRule:
    """Rule by which slices are rescaled.

    Attributes:
        scale_of: Returns the rescale of a slice.
        codes: Report codes.
        numbers: Report numbers.
    """

    scale_of: Callable[[SliceHeader], HuScale]
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def scales(headers: tuple[SliceHeader, ...], hu: HuSource) -> ScaleRule:
    """Return the rescale of each slice, proved as far as `hu` asks.

    Args:
        headers: The slices of one series.
        hu: ``"prove"``, ``"trust"``, or (slope, intercept) instead of the header's.

    Raises:
        IntensityError: The values are not proved to be Hounsfield units.
        PolicyError: Another rule.
    """
    if isinstance(hu, (CtRateVolume, Mapping)):
        raise PolicyError(
            "CT-RATE's table does not apply to DICOM.",
            remedy='Pass hu="prove", hu="trust" or hu=(slope, intercept).',
            code="hu.rule",
        )
    check_rule(hu)
    if isinstance(hu, tuple):
        rule = _given(headers, hu)
    else:
        other = _check_values(headers, trusted=hu == "trust")
        rule = ScaleRule(_from_header, {"hu.other_unit": other} if other else {})
        if hu == "trust":
            rule.codes["hu.trusted"] = len(headers)
        else:
            _prove(headers, rule)
    _note(headers, rule)
    return rule


def _given(headers: tuple[SliceHeader, ...], hu: tuple[float, float]) -> ScaleRule:
    """Take the user's slope and intercept, unless the values are Hounsfield units without."""
    scale = HuScale(float(hu[0]), float(hu[1]))
    with_given = assess_hu(_sample(headers, lambda _: scale))
    usable = all(header.slope != 0 for header in headers)
    if usable and not with_given.proved and assess_hu(_sample(headers, _from_header)).proved:
        raise IntensityError(
            "The header's rescale gives Hounsfield units, and this slope and intercept do not.",
            remedy='Leave hu="prove".',
            code="hu.twice",
            facts={"slope": scale.slope, "intercept": scale.intercept},
        )
    rule = ScaleRule(lambda _: scale, {"hu.given": len(headers)})
    if not with_given.proved:
        rule.codes["hu.unconfirmed"] = len(headers)
    return rule


def _from_header(header: SliceHeader) -> HuScale:
    return HuScale(
        1.0 if header.slope is None else header.slope,
        0.0 if header.intercept is None else header.intercept,
    )


def _check_values(headers: tuple[SliceHeader, ...], *, trusted: bool) -> int:
    """Refuse rescales that cannot be applied; return how many slices name another unit."""
    unusable = sum(
        header.slope == 0 or "RescaleSlope" in header.bad or "RescaleIntercept" in header.bad
        for header in headers
    )
    if unusable:
        raise IntensityError(
            f"{unusable} of {len(headers)} slices have an unreadable rescale or a slope of zero.",
            remedy="Export the series again, or pass hu=(slope, intercept).",
            code="hu.rescale_unreadable",
            facts={"slices": len(headers), "unusable": unusable},
        )
    lacking = sum(header.slope is None or header.intercept is None for header in headers)
    if 0 < lacking < len(headers):
        raise IntensityError(
            f"{lacking} of {len(headers)} slices have no rescale, and the others have one.",
            remedy="Export the series again, or pass hu=(slope, intercept).",
            code="hu.rescale_missing",
            facts={"slices": len(headers), "lacking": lacking},
        )
    known = _HU_WORDS | _UNSPECIFIED
    other = sum(header.rescale_type not in known for header in headers)
    tables = sum(header.modality_lut for header in headers)
    if tables or (other and not trusted):
        raise IntensityError(
            f"{other} of {len(headers)} slices are rescaled to another unit than HU, and {tables} "
            "use a modality lookup table.",
            remedy="Choose the reconstruction in Hounsfield units, or pass hu=(slope, intercept).",
            code="hu.other_unit",
            facts={"slices": len(headers), "other_unit": other, "lookup_table": tables},
        )
    return other


def _prove(headers: tuple[SliceHeader, ...], rule: ScaleRule) -> None:
    """Let the header say the unit and a few slices bear it out, or let the slices prove it.

    Slices of different rescales prove nothing for each other: each rescale is judged by its own.
    """
    together: dict[HuScale, list[SliceHeader]] = {}
    for header in headers:
        together.setdefault(_from_header(header), []).append(header)
    for alike in together.values():
        codes, numbers = _proof(tuple(alike))
        for code in codes:
            rule.codes[code] = rule.codes.get(code, 0) + len(alike)
        if "air_hu" in numbers:
            rule.numbers.setdefault("air_hu", numbers["air_hu"])
    beyond = sum(has_bits_beyond(one) for one in _few(headers) if one.pixel_length is not None)
    if beyond:
        rule.codes["pixel.bits_beyond_stored"] = beyond


def _proof(headers: tuple[SliceHeader, ...]) -> tuple[tuple[str, ...], Mapping[str, float]]:
    """Return the codes that say how one rescale is proved, and the numbers that show it."""
    values = _sample(headers, _from_header)
    if not _header_says(headers):
        evidence = assess_hu(values)
        if not evidence.proved:
            raise refuse(evidence, _TRUST)
        return ("hu.proved_by_values",), evidence.numbers
    found = judge(values, _from_header(headers[0]).intercept)
    if found.code == "implausible":
        raise refuse_implausible(found, _OR_TRUST)
    codes = {"air": (), "no_air": ("hu.no_air_in_view",), "unprovable": ("hu.unprovable",)}
    off = ("hu.air_off",) if found.air_off_hu > AIR_NOTED_HU else ()
    return ("hu.rescale", *codes[found.code], *off), found.numbers


def _header_says(headers: tuple[SliceHeader, ...]) -> bool:
    """Return whether each header rescales to HU; no rescale, or 1 and 0, may be a lost one.

    Type US is "unspecified" (PS3.3 C.11.1.1.2): those who write it beside Hounsfield units write
    it beside other units too.
    """
    return all(
        header.slope is not None
        and header.intercept is not None
        and header.rescale_type not in _UNSPECIFIED
        and (
            (header.slope, header.intercept) != (1, 0)
            or (header.rescale_type in _HU_WORDS - {""} and header.signed)
        )
        for header in headers
    )


def _sample(
    headers: tuple[SliceHeader, ...], scale_of: Callable[[SliceHeader], HuScale]
) -> NDArray[np.int16]:
    """Decode a few slices from inside the stack."""
    planes = []
    for header in _few(headers):
        with naming(header):
            planes.append(read_slice(header, scale_of(header)))
    return np.stack(planes)


def _few(headers: tuple[SliceHeader, ...]) -> list[SliceHeader]:
    inside = np.linspace(0, len(headers) - 1, _SAMPLED + 2)[1:-1].round().astype(int)
    return [headers[index] for index in np.unique(inside)]


def _note(headers: tuple[SliceHeader, ...], rule: ScaleRule) -> None:
    """Record what varies, what is rounded and what is not used."""
    found = {rule.scale_of(header) for header in headers}
    if len(found) > 1:
        rule.codes["hu.rescale_varies"] = len(found)
    if not all(scale.exact for scale in found):
        rule.codes["hu.rounded"] = sum(not rule.scale_of(header).exact for header in headers)
    inverted = sum(rule.scale_of(header).slope < 0 for header in headers)
    if inverted:
        rule.codes["hu.negative_slope"] = inverted
    mapped = sum(header.real_world for header in headers)
    if mapped:
        rule.codes["hu.real_world_mapping_not_used"] = mapped
    unusable = sum(
        bool(header.padding) and padding_range(header, rule.scale_of(header)) is None
        for header in headers
    )
    if unusable:
        rule.codes["padding.inside_patient_range"] = unusable
    if len(found) == 1:
        only = next(iter(found))
        rule.numbers |= {"slope": only.slope, "intercept": only.intercept}
