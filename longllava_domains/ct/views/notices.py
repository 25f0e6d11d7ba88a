"""Notices for a reader of views: which series they show, on what grid, and what is missing."""

from typing import Any, Final

from longllava_domains.ct.population import age_band
from longllava_domains.ct.slice_source import SliceStack
from longllava_domains.ct.views.policy import SlicePolicy

_OTHER_KERNEL: Final = "The reconstruction kernel is not the one asked for."
_ANOTHER: Final = {
    "choice.another_region": "The header names another region of the body than the one asked for.",
    "choice.another_phase": "The header names another contrast phase than the one asked for.",
}
_SHARP: Final = "The lung window shows a soft reconstruction, and the study has a sharp one."
_NO_GRID: Final = "Slices are shown as they were acquired, without a grid: "
# Report codes of a loader -> what they mean to a reader.
_WHY_NO_GRID: Final = {
    "ct.tilt": "the gantry was tilted.",
    "ct.gap": "slices are missing between them.",
    "ct.uneven_spacing": "their distances differ.",
    "ct.part_of_series": "acquisitions meet at a position.",
}
_INCOMPLETE: Final = "The headers say that the series has more images than were found."
_SIGNS: Final = (
    "series.concatenation_incomplete",
    "series.fewer_images_than_declared",
    "series.numbers_start_late",
)
_PART: Final = "A part of a series was read, as asked: other images of it lie outside."
_ONE_SLICE: Final = (
    "One slice is shown: the distance asked for between slices is longer than the scan."
)
_HEAD: Final = (
    "The header names the head, and no window shown is for it: there are brain and others."
)
_HEAD_REGIONS: Final = frozenset({"HEAD", "BRAIN", "SKULL"})
_HEAD_WINDOWS: Final = frozenset(
    {"brain", "subdural", "stroke", "stroke-narrow", "head-soft-tissue", "temporal-bone", "bone",
     "medgemma-1.5"}
)  # fmt: skip
_ELSEWHERE: Final = "Other series of the study cover other ranges, which were not read."


def notices_of(volume: SliceStack, policy: SlicePolicy) -> list[str]:
    """Return what must be said beside views of a volume, from the list in `provenance`."""
    codes, kernel = volume.report.codes, volume.facts.get("kernel", "unknown")
    found = []
    if policy.kernel is not None and kernel not in (policy.kernel, "unknown"):
        found.append(_OTHER_KERNEL)
    found += [said for code, said in _ANOTHER.items() if code in codes]
    if not volume.has_grid:
        found += [_NO_GRID + why for code, why in _WHY_NO_GRID.items() if code in codes]
    names = {window if isinstance(window, str) else window.name for window in policy.windows_shown}
    if "choice.sharp_available" in codes and kernel != "sharp" and "lung" in names:
        found.append(_SHARP)
    named = set(str(volume.facts.get("body_part", "")).split())
    if named and named <= _HEAD_REGIONS and not names & _HEAD_WINDOWS:
        found.append(_HEAD)
    z_mm = volume.slices(policy.at).z_mm
    if policy.spacing_mm and len(z_mm) > 1 and policy.spacing_mm > abs(z_mm[-1] - z_mm[0]):
        found.append(_ONE_SLICE)
    if any(code in codes for code in _SIGNS):
        found.append(_INCOMPLETE)
    if "series.part" in codes:
        found.append(_PART)
    if "choice.other_range" in codes:
        found.append(_ELSEWHERE)
    return found


def series_of(volume: SliceStack) -> dict[str, Any]:
    """Return which DICOM series views show and why it was chosen; empty for other sources.

    Keys: ``series_number`` (DICOM), ``row`` (of `ct.list_series`), ``images``, ``plane``,
    ``kernel``, ``body_part``, ``phase``, ``z_range_mm``, ``chosen_by``, ``age_years`` (first and
    last year of a band), ``manufacturer`` of the scanner and ``sex``, None where the header does not say.
    """
    numbers, facts = volume.report.numbers, volume.facts
    if "series_row" not in numbers:
        return {}
    chosen_by = [code for code in volume.report.codes if code.startswith("choice.")]
    age = facts.get("age_from_years")
    span = [numbers[name] for name in ("z_low_mm", "z_high_mm") if name in numbers]
    return {
        "series_number": numbers.get("series_number"),
        "row": numbers["series_row"],
        "images": sum(not made for made in volume.source.synthetic),
        "plane": facts.get("plane"),
        "kernel": facts.get("kernel"),
        "body_part": str(facts.get("body_part", "")).split(),
        "phase": str(facts.get("phase", "")).split(),
        "z_range_mm": span or None,
        "chosen_by": chosen_by,
        "age_years": None if age is None else list(age_band(float(age))),
        "manufacturer": facts.get("manufacturer"),
        "sex": facts.get("sex"),
    }
