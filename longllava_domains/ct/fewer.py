"""A slice policy made coarser until it shows a volume in so many views, such as a memory holds."""

import math
from dataclasses import replace

from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.ct.views.render import choose_slices
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import PolicyError

_STEP_MM = 0.5  # a spacing that a person would name


def within_views(volume: CTVolume, policy: SlicePolicy, views: int) -> SlicePolicy:
    """Return the policy with the closest spacing that shows a volume in at most so many views.

    Args:
        volume: What is shown; nothing is decoded.
        policy: Its windows and range are kept, its count of slices gives way to the spacing.
        views: The most views, over all windows.

    Returns:
        The policy with ``spacing_mm``, a multiple of 0.5 mm, and ``max_views``; each of the two
        alone keeps to the views.

    Raises:
        PolicyError: Fewer views than windows, or a policy that cannot be followed at all.
    """
    windows = len(policy.windows_shown)
    if views < windows:
        raise PolicyError(
            f"{windows} windows cannot be shown in {views} views.",
            remedy="Choose fewer windows.",
            code="policy.views",
            facts={"windows": windows, "views": views},
        )
    every = replace(policy, spacing_mm=None, count=None, max_views=None)
    in_range, most = len(choose_slices(volume, every)[0]), views // windows
    closest_mm = (in_range - 0.5) * volume.spacing_mm[0] / most if in_range > most else _STEP_MM
    spacing_mm = max(1, math.floor(closest_mm / _STEP_MM)) * _STEP_MM
    while True:
        coarser = replace(every, spacing_mm=spacing_mm)
        if len(choose_slices(volume, coarser)[0]) <= most:
            return replace(coarser, max_views=views)
        spacing_mm += _STEP_MM
