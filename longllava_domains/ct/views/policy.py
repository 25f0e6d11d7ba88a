"""`SlicePolicy`: which slices of a volume are shown, how, and in which windows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from longllava_domains.arguments import checked, checked_fields
from longllava_domains.ct.slice_source import At
from longllava_domains.ct.views.windows import (
    HEADER_WINDOWS,
    MEDIASTINUM,
    AnyWindow,
    window,
    window_from_json,
)
from longllava_domains.errors import PolicyError
from longllava_domains.visual import Layout

ReconstructionKernel = Literal["soft", "sharp"]
Slab = Literal["mean", "mip"]
Sampling = Literal["uniform", "medgemma"]
MAX_VIEW_PX: Final = 4096


@checked_fields
@dataclass(frozen=True)
class SlicePolicy:
    """Choice of slices, their order and windows; recorded with every result.

    Slices are chosen in this order: the range, then the spacing or the count, then the budget.
    No slice is interpolated: a spacing picks the nearest source slices, so each view can name
    its instances. Several windows are shown one after the other, each head first.

    Attributes:
        windows: One window or several, in order: `Window`, `RgbWindow`, a preset's name,
            ``"width/level"``, or ``"header"`` for the one that the source recommends first,
            ``"header-2"`` for its second and so on.
        spacing_mm: Show a slice at every multiple of it, the nearest; None for no rule.
        count: Show this many slices, spread evenly from first to last; None for no rule.
        sampling: How `count` spreads: ``"uniform"`` (first and last included) or ``"medgemma"``
            (MedGemma 1.5: round(i / count * (slices - 1)) for i from 1, the first never shown).
        max_views: Budget over all windows; above it slices are thinned evenly and counted in
            `left_out`. None for no budget.
        z_range_mm: Lower and upper end along the slice normal, as `CTVolume.z_mm` says it.
        slab_mm: Thickness that each view shows; None for single slices.
        slab: ``"mean"`` or ``"mip"`` (maximum intensity projection) over the slab.
        body_crop: Cut every view to the box around everything denser than air (table included).
        view_px: Longer side of a view in pixels; None for the source's own sampling.
        layout: How the prompt arranges the views.
        kernel: Reconstruction wanted where a folder holds several: ``"soft"`` or ``"sharp"``. A
            pipeline that opens a path chooses by it, as `open_volume` does by ``series=``; what is
            open already cannot change, and a notice says where it is of the other kernel.
        at: ``"grid"``: slices of the volume's even grid; ``"acquired"``: the slices that exist,
            each at its own z and tilt, none straightened or interpolated. The second shows what
            lies on no grid as well, such as a tilted stack or one of two spacings.

    Raises:
        PolicyError: Values that contradict each other or are out of range.
    """

    windows: AnyWindow | str | Sequence[AnyWindow | str] = (MEDIASTINUM,)
    spacing_mm: float | None = None
    count: int | None = None
    sampling: Sampling = "uniform"
    max_views: int | None = None
    z_range_mm: tuple[float, float] | None = None
    slab_mm: float | None = None
    slab: Slab = "mean"
    body_crop: bool = False
    view_px: int | None = None
    layout: Layout = "images"
    kernel: ReconstructionKernel | None = None
    at: At = "grid"

    def __post_init__(self) -> None:
        given = self.windows
        several = (given,) if isinstance(given, str) or not isinstance(given, Sequence) else given
        chosen = tuple(spec if spec in HEADER_WINDOWS else window(spec) for spec in several)
        object.__setattr__(self, "windows", chosen)
        if self.z_range_mm is not None:
            object.__setattr__(self, "z_range_mm", tuple(float(z) for z in self.z_range_mm))
        problem = self._problem()
        if problem:
            raise PolicyError(
                f"This slice policy cannot be followed: {problem}.",
                remedy="Correct the policy; every field's range is in the help of SlicePolicy.",
                code="policy.slices",
            )

    def _problem(self) -> str:
        """Name the first thing wrong, or an empty string."""
        names = [w if isinstance(w, str) else w.name for w in self.windows_shown]
        low, high = self.z_range_mm or (0.0, 1.0)
        rules: list[tuple[bool, str]] = [
            (bool(names), "it names no window"),
            (len(set(names)) == len(names), "two windows have the same name: leave one out"),
            (self.spacing_mm is None or self.count is None, "spacing_mm and count are both given"),
            (_positive(self.spacing_mm), "spacing_mm must be above 0"),
            (_positive(self.slab_mm), "slab_mm must be above 0"),
            (_whole(self.count), "count must be a whole number of at least 1"),
            (
                _whole(self.view_px) and (self.view_px or 1) <= MAX_VIEW_PX,
                f"view_px must be a whole number from 1 to {MAX_VIEW_PX}",
            ),
            (_whole(self.max_views), "max_views must be a whole number of at least 1"),
            (
                self.max_views is None or self.max_views >= len(names),
                "max_views is smaller than the number of windows",
            ),
            (math.isfinite(low) and math.isfinite(high) and low < high, "z_range_mm is empty"),
            (self.slab in get_args(Slab), "slab is neither mean nor mip"),
            (self.slab == "mean" or self.slab_mm is not None, "slab needs slab_mm, its thickness"),
            (self.sampling in get_args(Sampling), "sampling is neither uniform nor medgemma"),
            (self.layout in ("images", "temporal"), "slices have the layout images or temporal"),
            (
                self.kernel in (None, *get_args(ReconstructionKernel)),
                "kernel is neither soft nor sharp",
            ),
            (self.at in get_args(At), "at is neither grid nor acquired"),
            (
                self.at == "grid" or self.slab_mm is None,
                'a slab needs the grid that at="acquired" does without',
            ),
        ]
        return next((problem for kept, problem in rules if not kept), "")

    @property
    def windows_shown(self) -> tuple[AnyWindow | str, ...]:
        """The windows in order; only those of `HEADER_WINDOWS` are still strings."""
        assert isinstance(self.windows, tuple)
        return self.windows

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON; `from_json` rebuilds an equal one."""
        entries: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        entries["windows"] = [w if isinstance(w, str) else w.to_json() for w in self.windows_shown]
        if self.z_range_mm is not None:
            entries["z_range_mm"] = list(self.z_range_mm)
        return entries

    @classmethod
    @checked
    def from_json(cls, entries: Mapping[str, Any]) -> "SlicePolicy":
        """Rebuild a policy from JSON, such as ``provenance["policy"]``.

        Raises:
            PolicyError: A key that no policy has, or a value out of range.
        """
        unknown = set(entries) - {entry.name for entry in fields(cls)}
        if unknown:
            raise PolicyError(
                f"A slice policy has no field {', '.join(sorted(map(repr, unknown)))}.",
                remedy="Use the fields that SlicePolicy documents.",
                code="policy.field",
            )
        values = dict(entries)
        if not isinstance(values.get("windows", ""), str):
            values["windows"] = tuple(
                w if isinstance(w, str) else window_from_json(w) for w in values["windows"]
            )
        return cls(**values)


def _positive(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and value > 0)


def _whole(value: int | None) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
