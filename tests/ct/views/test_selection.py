"""A policy made coarser: as many slices as the views allow, and never more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains import ct
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.views.selection import choose_slices, within_views
from longllava_domains.errors import PolicyError


def air(slices: int, spacing_mm: float) -> ct.CTVolume:
    hu = np.full((4, 4, slices), -1000, np.int16)
    hu[1:3, 1:3] = 40
    return volume_from_array(hu, np.diag([1.0, 1.0, spacing_mm, 1.0]))


@settings(deadline=None, max_examples=60)
@given(
    slices=st.integers(2, 300),
    spacing_mm=st.floats(0.3, 10),
    windows=st.sampled_from([("lung",), ("lung", "mediastinum")]),
    views=st.integers(2, 400),
)
def test_the_spacing_alone_keeps_to_the_views_and_a_closer_one_does_not(
    slices, spacing_mm, windows, views
) -> None:
    volume = air(slices, spacing_mm)
    coarser = within_views(volume, ct.SlicePolicy(windows=windows, count=7), views)
    assert coarser.max_views == views
    assert coarser.spacing_mm % 0.5 == 0

    def shown(distance_mm: float) -> int:
        policy = ct.SlicePolicy(windows=windows, spacing_mm=distance_mm)
        return len(choose_slices(volume, policy)[0]) * len(windows)

    assert 1 <= shown(coarser.spacing_mm) <= views
    if coarser.spacing_mm > 0.5:
        assert shown(coarser.spacing_mm - 0.5) > views


def test_fewer_views_than_windows_are_refused() -> None:
    with pytest.raises(PolicyError, match="2 windows"):
        within_views(air(9, 1), ct.SlicePolicy(windows=("lung", "mediastinum")), 1)
