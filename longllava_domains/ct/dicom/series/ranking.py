"""Rank series by preference, and notice where a preference would be a guess.

Of the series that are volumes, the first that wins on: the region and phase asked for, axial,
original, the kernel asked for (soft by default), a whole series, covers most of what was scanned,
thinnest (down to a millimetre), clearly more slices. Where two are equal in all of it, or show
parts of the body that nobody chose between, nothing is guessed.
"""

from collections.abc import Sequence
from typing import Final

from longllava_domains.ct.body_part import Purpose, name_other_parts
from longllava_domains.ct.dicom.series.table import SeriesRow

# Slices thinner than this add noise and cost, not detail, for reading at 336 pixels.
_THIN_ENOUGH_MM: Final = 1.0
# A reconstruction of a part of the range is no substitute for the whole.
_MOST_OF_IT: Final = 0.5
# A slice or two more is no reason: native and contrast differ by that.
_CLEARLY_MORE: Final = 1.1
KERNELS: Final = ("soft", "sharp")
_CRITERIA: Final = ("kind", "body_part", "phase", "plane", "original", "kernel", "whole",
                    "coverage", "thin")  # fmt: skip


class Ranking:
    """Series in the order of preference.

    Attributes:
        order: Indices of rows, the best first.
        equal: Those that are as good as the best one; it alone where it wins.
        difference: In what the equal ones differ, in words.
        hint: How a purpose would decide, in words.
    """

    def __init__(
        self, rows: list[SeriesRow], able: Sequence[int], kernel: str, purpose: Purpose
    ) -> None:
        longest_mm = max(rows[i].images * rows[i].spacing_mm for i in able)
        self._kernel, self._rows, self._purpose = kernel, rows, purpose
        self._ranks = {i: _rank(rows[i], kernel, purpose, longest_mm) for i in able}
        self.order = sorted(able, key=lambda i: (self._ranks[i], -rows[i].images))
        self.equal, self.difference, self.hint = self._elsewhere(), "", ""
        if self.equal:
            self.difference, self.hint = (
                ", at other places of the body",
                ', or purpose="chest" and the like',
            )
            return
        best = self.order[0]
        alike = [i for i in self.order if self._ranks[i] == self._ranks[best]]
        self.equal = sorted(i for i in alike if rows[best].images < _CLEARLY_MORE * rows[i].images)
        phases = {rows[i].phase for i in self.equal if not rows[i].split_by}
        if len(phases) > 1:
            self.difference = ", with and without contrast"
            self.hint = ', or purpose="native" or "contrast"'

    def _elsewhere(self) -> list[int]:
        """Return the best series and others as good that show other parts of the body.

        More or thinner slices do not make one of them the one that is meant.
        """
        best = self.order[0]
        decisive = len(_CRITERIA) - 1  # all but how thin the slices are
        is_region_asked = bool(self._ranks[best][1] == 0 and self._purpose.regions)
        others = [
            i
            for i in self.order[1:]
            if self._ranks[i][:decisive] == self._ranks[best][:decisive]
            and (
                lie_apart(self._rows[i], self._rows[best])
                or (
                    not is_region_asked
                    and name_other_parts(self._rows[i].body_part, self._rows[best].body_part)
                )
            )
        ]
        return sorted([best, *others]) if others else []

    def why(self) -> tuple[str, str]:
        """Say which criterion decided against the runner-up."""
        if len(self.order) == 1:
            return "only_volume", "the only volume"
        best, second = (self._ranks[i] for i in self.order[:2])
        decided = next(
            (name for name, a, b in zip(_CRITERIA, best, second, strict=True) if a != b), "slices"
        )
        other = next(name for name in KERNELS if name != self._kernel)
        is_known = self._rows[self.order[0]].kernel == self._kernel
        words = {
            "kind": "a volume rather than a reformat",
            "body_part": "of the region asked for",
            "phase": "of the phase asked for",
            "plane": "axial",
            "original": "original rather than derived",
            "kernel": f"{self._kernel} kernel"
            if is_known
            else f"kernel unknown rather than {other}",
            "whole": "a whole series rather than a part",
            "coverage": "covers most of what was scanned",
            "thin": "thinnest",
            "slices": "most slices",
        }
        return decided, words[decided]


def _rank(row: SeriesRow, kernel: str, purpose: Purpose, longest_mm: float) -> tuple[float, ...]:
    """Return what series are compared by, smaller is better, in the order of `_CRITERIA`."""
    return (
        row.kind != "volume",
        purpose.region_rank(row.body_part),
        purpose.phase_rank(row.phase),
        row.plane != "axial",
        not row.original,
        {kernel: 0, "unknown": 1, "mixed": 1}.get(row.kernel, 2),
        row.part_of_series,
        row.images * row.spacing_mm < _MOST_OF_IT * longest_mm,
        max(row.spacing_mm, _THIN_ENOUGH_MM) if row.spacing_mm else 1e3,
    )


def lie_apart(first: SeriesRow, second: SeriesRow) -> bool:
    """Return whether two rows have less than half of the shorter range in common."""
    if not (first.z_range_mm and second.z_range_mm) or first.plane != second.plane:
        return False
    (low, high), (other_low, other_high) = first.z_range_mm, second.z_range_mm
    shorter = min(high - low, other_high - other_low)
    return min(high, other_high) - max(low, other_low) < _MOST_OF_IT * shorter
