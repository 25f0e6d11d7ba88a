"""Stored values to int16 Hounsfield units: which scale holds, and exact, checked arithmetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.hounsfield.evidence import HuEvidence, assess_hu, refuse, sample
from longllava_domains.errors import IntensityError, PolicyError

# Values worked on at a time, so that float64 intermediates stay near 16 MB.
_CHUNK: Final = 2_000_000


class Scale(NamedTuple):
    """hu = slope * stored + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


HuRule = Literal["prove", "trust"] | tuple[float, float] | CtRateVolume
# What a user may also pass: CT-RATE's whole table, where the file's name picks the scan.
HuSource = HuRule | Mapping[str, CtRateVolume]
_TRUST: Final = 'Pass hu=(slope, intercept), or hu="trust" if you know that they are.'


@dataclass
class Rescaled:
    """int16 Hounsfield units and how they came about.

    Attributes:
        hu: int16, the shape of the stored values.
        codes: Report codes with counts.
        numbers: Report numbers.
    """

    hu: NDArray[np.int16]
    codes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def to_hounsfield(stored: NDArray[Any], header: Scale, rule: HuRule) -> Rescaled:
    """Turn stored values into int16 Hounsfield units, by evidence.

    Args:
        stored: Values as the file holds them, any shape and real number type.
        header: The scale that the file's header gives.
        rule: ``"prove"`` (the header's scale must give Hounsfield units), ``"trust"`` (it is
            taken to), (slope, intercept) to use instead of the header's, or a CT-RATE scan whose
            own scale is used unless the values are Hounsfield units already.

    Raises:
        IntensityError: Not Hounsfield units; a scale would be applied twice; values that are not
            finite or leave int16.
    """
    check_rule(rule)
    taken = sample(stored)
    if not np.isfinite(taken).all():
        raise _not_finite()
    scale, evidence, code = _decide(taken, header, rule)
    hu, rounding = to_int16(stored, scale)
    done = Rescaled(hu, {code: 1})
    done.numbers |= {
        name: value
        for name, value in evidence.numbers.items()
        if name in ("air_hu", "air_share", "tissue_share")
    }
    if scale != Scale():
        done.codes["hu.rescaled"] = 1
        done.numbers |= {"slope": float(scale.slope), "intercept": float(scale.intercept)}
    if scale.slope < 0:
        done.codes["hu.negative_slope"] = 1  # no scanner writes one: the values may be inverted
    if evidence.verdict == "tissue":
        done.codes["hu.no_air_in_view"] = 1
    if rounding > 0:
        done.codes["hu.rounded"] = 1
        done.numbers["rounding_hu"] = rounding
    if evidence.padding_hu is not None and evidence.padding_below_hu is not None:
        _pad_with_air(done, evidence.padding_hu, evidence.padding_below_hu)
    return done


def check_rule(rule: HuRule) -> None:
    """Raise `PolicyError` for what is no rule, such as a slope of zero."""
    if rule in ("prove", "trust") or isinstance(rule, CtRateVolume):
        return
    pair = isinstance(rule, tuple) and [isinstance(number, Real) for number in rule] == [True] * 2
    if not pair or not np.isfinite(rule).all() or rule[0] == 0:
        raise PolicyError(
            "This is no rule for Hounsfield units.",
            remedy='Pass "prove", "trust", a CT-RATE scan, or (slope, intercept) with a slope.',
            code="hu.rule",
        )


def _decide(taken: NDArray[Any], header: Scale, rule: HuRule) -> tuple[Scale, HuEvidence, str]:
    """Choose the scale and say by which code it holds."""
    as_header = assess_hu(_apply(taken, header))
    if rule == "trust":
        return header, as_header, "hu.trusted"
    if rule == "prove":
        if not as_header.proved:
            raise refuse(as_header, _TRUST)
        return header, as_header, "hu.proved"
    if isinstance(rule, CtRateVolume):
        return _decide_ct_rate(taken, header, as_header, rule)
    given = Scale(*(float(number) for number in rule))
    as_given = assess_hu(_apply(taken, given))
    if as_header.plausible and not as_given.plausible:
        raise IntensityError(
            "The values are Hounsfield units already; this slope and intercept would be applied twice.",
            remedy='Leave hu="prove".',
            code="hu.twice",
            facts={"slope": given.slope, "intercept": given.intercept, **as_header.numbers},
        )
    return given, as_given, "hu.given" if as_given.plausible else "hu.given_unproved"


def _decide_ct_rate(
    taken: NDArray[Any], header: Scale, as_header: HuEvidence, scan: CtRateVolume
) -> tuple[Scale, HuEvidence, str]:
    """Decide between CT-RATE v1 (stored values, scale in the CSV) and v2 (HU in the file)."""
    listed = Scale(scan.rescale_slope, scan.rescale_intercept)
    as_listed = assess_hu(_apply(taken, listed))
    if as_header.plausible and as_listed.plausible and listed != header:
        raise IntensityError(
            "The values look like Hounsfield units with and without the CT-RATE scale.",
            remedy='Pass hu="prove" for the values as they are, or hu=(slope, intercept).',
            code="hu.ct_rate_undecided",
            facts=dict(as_header.numbers),
        )
    if as_header.plausible:
        return header, as_header, "hu.ct_rate_v2"
    if as_listed.plausible:
        return listed, as_listed, "hu.ct_rate_v1"
    raise refuse(
        as_listed, "Neither the file nor the CT-RATE table gives Hounsfield units. " + _TRUST
    )


def _apply(values: NDArray[Any], scale: Scale) -> NDArray[Any]:
    if scale == Scale():
        return values
    return values.astype(np.float64) * scale.slope + scale.intercept


def to_int16(stored: NDArray[Any], scale: Scale) -> tuple[NDArray[np.int16], float]:
    """Scale and round to int16.

    Returns:
        int16 values of the same shape and memory order (the input itself where nothing is to be
        done), and the largest change that rounding made, in HU.

    Raises:
        IntensityError: A value is not finite or leaves int16.
    """
    if stored.dtype == np.int16 and stored.dtype.isnative and scale == Scale():
        return stored, 0.0
    if not (stored.flags.c_contiguous or stored.flags.f_contiguous):
        stored = np.ascontiguousarray(stored)  # chunks of anything else would be copies
    hu = np.empty_like(stored, dtype=np.int16)
    rounding = 0.0
    for source, target in zip(_chunks(stored), _chunks(hu), strict=True):
        values = _apply(source, scale)
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise _not_finite()
            rounded = np.rint(values)
            rounding = max(rounding, float(np.abs(rounded - values).max(initial=0)))
            values = rounded
        low, high = values.min(initial=0), values.max(initial=0)
        if low < -32768 or high > 32767:
            raise IntensityError(
                f"Values from {float(low):g} to {float(high):g} do not fit Hounsfield units in int16.",
                remedy="Check the slope and intercept; CT values lie between -1024 and about 3071.",
                code="hu.range",
                facts={"min": float(low), "max": float(high)},
            )
        target[...] = values
    return hu, rounding


def _chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views that together cover a contiguous array in memory order."""
    flat = values.reshape(-1, order="A")
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def _pad_with_air(done: Rescaled, padding_hu: int, below_hu: int) -> None:
    """Replace what lies outside the field of view by air, and count it."""
    outside = done.hu < below_hu
    if not done.hu.flags.writeable:
        done.hu = done.hu.copy(order="K")
    done.hu[outside] = -1024
    done.codes["padding.to_air"] = int(outside.sum())
    done.numbers["padding_hu"] = float(padding_hu)


def _not_finite() -> IntensityError:
    return IntensityError(
        "The volume holds values that are not finite numbers (NaN or infinity).",
        remedy="Fill them with air (-1024) before loading; what they stand for cannot be known.",
        code="hu.not_finite",
    )
