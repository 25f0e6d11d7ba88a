"""Body regions and contrast: what a header may say, and what a pipeline is for, in fixed words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from longllava_domains.errors import PolicyError

# What a header may name, and what is passed on; the header's own text never is.
REGIONS: Final = ("CHEST", "THORAX", "LUNG", "HEART", "ABDOMEN", "ABD", "LIVER", "KIDNEY", "PELVIS",
                  "HEAD", "BRAIN", "SKULL", "NECK", "SPINE", "KNEE", "ANKLE", "FOOT", "HAND",
                  "SHOULDER", "HIP", "EXTREMITY", "WHOLEBODY")  # fmt: skip
_SPELLED: Final = {"ABD": "ABDOMEN"}
# What a pipeline is for -> the regions that serve it.
_PURPOSES: Final[dict[str, frozenset[str]]] = {
    "chest": frozenset({"CHEST", "THORAX", "LUNG", "HEART", "WHOLEBODY"}),
    "abdomen": frozenset({"ABDOMEN", "LIVER", "KIDNEY", "WHOLEBODY"}),
    "pelvis": frozenset({"PELVIS", "HIP", "WHOLEBODY"}),
    "head": frozenset({"HEAD", "BRAIN", "SKULL", "WHOLEBODY"}),
    "neck": frozenset({"NECK", "WHOLEBODY"}),
    "spine": frozenset({"SPINE", "WHOLEBODY"}),
    "heart": frozenset({"HEART", "CHEST", "THORAX", "WHOLEBODY"}),
    "extremity": frozenset({"EXTREMITY", "KNEE", "ANKLE", "FOOT", "HAND", "SHOULDER", "HIP"}),
}
_PHASES: Final = ("native", "contrast")
# Names of one part of the body.
_SAME_PART: Final = ({"CHEST", "THORAX", "LUNG", "HEART"}, {"ABDOMEN", "LIVER", "KIDNEY"},
                     {"HEAD", "BRAIN", "SKULL"}, {"PELVIS", "HIP"})  # fmt: skip


@dataclass(frozen=True)
class Purpose:
    """Purpose for which a series is chosen.

    Attributes:
        regions: Regions that serve it; empty where any does.
        phase: ``"native"``, ``"contrast"`` or ``""`` for any.
    """

    regions: frozenset[str] = frozenset()
    phase: str = ""

    def region_rank(self, body_part: str) -> int:
        """Return 0 where the header names the region, 1 where it names none, 2 for another."""
        if not self.regions:
            return 0
        named = set(body_part.split())
        return 0 if named & self.regions else 2 if named else 1

    def phase_rank(self, phase: str) -> int:
        """Return 0 for the phase wanted, 1 where the header does not say, 2 for the other."""
        if not self.phase:
            return 0
        said = [word for word in phase.split() if word in _PHASES]
        return 0 if said == [self.phase] else 2 if said else 1


def parse_purpose(text: str | None) -> Purpose:
    """Read a purpose such as ``"chest"``, ``"abdomen contrast"`` or ``"native"``.

    Raises:
        PolicyError: A word that is no region and no phase, or two phases.
    """
    words = (text or "").lower().replace(",", " ").split()
    unknown = [word for word in words if word not in _PURPOSES and word not in _PHASES]
    phases = {word for word in words if word in _PHASES}
    if unknown or len(phases) > 1:
        raise PolicyError(
            "There is no such purpose to choose a series for.",
            remedy=f"Use one of {', '.join(_PURPOSES)}, with native or contrast beside it or alone.",
            code="series.purpose",
        )
    wanted = frozenset[str]().union(*(_PURPOSES[word] for word in words if word in _PURPOSES))
    return Purpose(wanted, phases.pop() if phases else "")


def name_other_parts(first: str, second: str) -> bool:
    """Return whether two texts of region names mean different parts of the body."""
    named, other = set(first.split()), set(second.split())
    if not named or not other or "WHOLEBODY" in named | other:
        return False
    return not any(part & named and part & other for part in _SAME_PART) and not named & other


def regions(body_parts: Iterable[str]) -> list[str]:
    """Return the regions that Body Part Examined values name, each once, in a fixed order.

    "CHESTABDPELVIS" and the like are several regions.
    """
    texts = set(body_parts)
    found = [_SPELLED.get(name, name) for name in REGIONS if any(name in text for text in texts)]
    return list(dict.fromkeys(found))
