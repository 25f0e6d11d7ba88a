"""Limits of a calibration, held against the volumes of CT-RATE by the release's own table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.population import age_band, population_of
from longllava_domains.ct.reconstruction_kernel import kernel_class
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.findings_first import outside_population

# CT-RATE is of the chest by its definition; its table has no column for the region or the phase.
_BODY_PART: Final = "CHEST"


@dataclass(frozen=True)
class OutsideVolumes:
    """Volumes of a benchmark that are unlike those of a calibration: no finding is called present.

    Attributes:
        codes: Volume -> what of it differs, as a report names it.
        notes: Sentences for the card.
        counts: Volumes outside, and by what; for the card's settings.
    """

    codes: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    counts: Mapping[str, int]


def outside_volumes(
    calibration: Calibration, names: Sequence[str], table: Mapping[str, CtRateVolume] | None
) -> OutsideVolumes:
    """Hold the limits of a calibration against volumes, without opening one.

    What the table does not say of a volume counts as inside, as in a report.

    Args:
        calibration: With its limits, as far as it has any.
        names: Of the volumes, without their suffix.
        table: The release's metadata table; None where it is not there.
    """
    scans = {name: (table or {}).get(f"{name}.nii.gz") for name in names}
    found = {
        name: outside_population(calibration, _population(scan)) for name, scan in scans.items()
    }
    codes = {name: each for name, each in found.items() if each}
    why = Counter(code for each in codes.values() for code in each)
    counts = {"calibration.outside": len(codes), **why}
    if not calibration.limits and not calibration.ranges:
        note = "findings-first: the calibration has no limits, so none was held against a volume"
        return OutsideVolumes(codes, (note,), counts)
    told = ", ".join(f"{code} {count:,}" for code, count in sorted(why.items()))
    notes = [
        f"findings-first: {len(codes):,} of {len(names):,} volumes lie outside the calibration's "
        "scans; no finding was called present for them" + (f" ({told})" if told else "")
    ]
    unknown = sum(scan is None for scan in scans.values())
    if unknown:
        notes.append(
            f"findings-first: the metadata table says nothing of {unknown:,} volumes, which count "
            "as inside"
        )
    return OutsideVolumes(codes, tuple(notes), counts)


def _population(scan: CtRateVolume | None) -> Mapping[str, Sequence[Any]]:
    """Return what the table says of patient and scanner, as of the provenance of views."""
    series: dict[str, Any] = {"body_part": [_BODY_PART]}
    if scan is None:
        return population_of({"series": series})
    if scan.age_from_years is not None:
        series["age_years"] = list(age_band(scan.age_from_years))
    series |= {
        "kernel": kernel_class((scan.kernel.upper(),)),
        "manufacturer": scan.manufacturer or None,
        "sex": scan.sex or None,
    }
    return population_of({"series": series, "spacing_mm": scan.spacing_mm})
