"""Findings first: the draft is written for the findings that a calibration calls present.

Fluent drafts leave out rare findings; scoring first and writing afterwards is the best published
recipe of 2026 (CLarGen, arXiv 2605.30984: macro F1 .487 in place of .189, on its authors' data).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.result import Abnormality

ReportMode = Literal["direct", "findings-first"]
OUTSIDE: Final = "calibration.outside."
"""Begin of the codes for what of a scan differs from those of a calibration."""
REPORT_MODES: Final[tuple[ReportMode, ...]] = get_args(ReportMode)


def require_mode(mode: str, calibration: Calibration | None) -> ReportMode:
    """Return the mode, refused where it cannot be followed.

    Raises:
        PolicyError: There is no such mode, or findings come first without a calibration that says
            which of them are present.
    """
    for known in REPORT_MODES:
        if mode == known:
            break
    else:
        raise PolicyError(
            "There is no such mode of writing a report.",
            remedy=f"Use one of {', '.join(REPORT_MODES)}.",
            code="report.mode",
        )
    if known == "findings-first" and (calibration is None or not calibration.thresholds):
        raise PolicyError(
            "Findings cannot come first without a calibration: a margin says nothing of presence.",
            remedy="Add calibration=FILE, which `longllava calibrate` wrote, with its thresholds.",
            code="report.calibration",
        )
    return known


def conditioned_prompt(prompt: str, found: Mapping[str, Abnormality]) -> str:
    """Return the report prompt with the findings that were called present.

    Args:
        prompt: The preset's report prompt.
        found: Label -> scored finding.
    """
    return naming_findings(prompt, [label for label, finding in found.items() if finding.present])


def naming_findings(prompt: str, labels: Sequence[str]) -> str:
    """Return a report prompt that names the findings that were called present.

    Args:
        prompt: The report prompt.
        labels: The findings.
    """
    present = [label.lower() for label in labels]
    told = (
        f"These findings were scored as present: {', '.join(present)}. Describe each of them."
        if present
        else "None of the findings that were scored was called present."
    )
    return f"{prompt} {told} Do not call normal what was not scored."


def outside_population(
    calibration: Calibration, population: Mapping[str, Sequence[Any]]
) -> tuple[str, ...]:
    """Return codes for what of a scan is not among those that a calibration was fitted on.

    What a header does not say counts as inside: a code names what is known to differ.

    Args:
        calibration: With its limits, as far as it has any.
        population: Of the scan, as `population_of` returns it.
    """
    codes = []
    for name, allowed in calibration.limits.items():
        words = {str(each).lower() for each in population.get(name, ())}
        if words and not words & {each.lower() for each in allowed}:
            codes.append(f"{OUTSIDE}{name}")
    for name, (lowest, highest) in calibration.ranges.items():
        numbers = population.get(name, ())
        if numbers and (max(numbers) < lowest or min(numbers) > highest):
            codes.append(f"{OUTSIDE}{name}")
    return tuple(codes)
