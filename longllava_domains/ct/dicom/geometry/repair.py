"""Repairs of a series that a user may allow, by name.

``"duplicates"`` keeps one of several pixel-identical slices, ``"gaps"`` (or ``"gaps:K"``) leaves a
slot for each of up to K missing slices in a row, ``"tilt"`` shifts each slice in its plane,
``"single"`` takes the thickness of a lone slice as its spacing.
"""

from dataclasses import dataclass
from typing import Final

from longllava_domains.ct.dicom.geometry.spacing import MAX_GAP
from longllava_domains.errors import PolicyError

REPAIRS: Final = ("tilt", "gaps", "duplicates", "single")
DEFAULT_GAP: Final = 3


@dataclass(frozen=True)
class Repair:
    """Repairs that the user allowed.

    Attributes:
        tilt: Straighten a tilt.
        gap: Most missing slices in a row that may be made up.
        duplicates: Drop slices that are pixel-identical to one at the same place.
        single: Take a lone slice's thickness as its spacing.
    """

    tilt: bool = False
    gap: int = 0
    duplicates: bool = False
    single: bool = False


def parse_repair(names: tuple[str, ...]) -> Repair:
    """Read the names of repairs.

    Raises:
        PolicyError: An unknown name.
    """
    gap = 0
    for name in names:
        word, _, count = name.partition(":")
        if word == "gaps" and (not count or (count.isdecimal() and int(count) <= MAX_GAP)):
            gap = int(count or DEFAULT_GAP)
        elif name not in REPAIRS:
            raise PolicyError(
                "There is no such repair for DICOM.",
                remedy=f"Choose from {', '.join(REPAIRS)} (gaps:K for up to K slices in a row, "
                f"at most {MAX_GAP}).",
                code="ct.repair",
            )
    return Repair("tilt" in names, gap, "duplicates" in names, "single" in names)
