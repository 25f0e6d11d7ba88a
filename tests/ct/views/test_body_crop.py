"""The body box holds everything denser than air, and a margin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.ct.views.body_crop import body_box


@settings(deadline=None, max_examples=80)
@given(
    top=st.integers(0, 50), left=st.integers(0, 70),
    height=st.integers(3, 30), width=st.integers(3, 30),
    spacing=st.tuples(st.floats(0.5, 5), st.floats(0.5, 5)),
)  # fmt: skip
def test_the_box_is_the_body_and_ten_millimetres(
    top: int, left: int, height: int, width: int, spacing: tuple[float, float]
) -> None:
    hu = np.full((80, 100), -1000, np.int16)
    hu[top : top + height, left : left + width] = 40
    box = body_box([np.full_like(hu, -1000), hu], spacing)
    assert box is not None
    assert box.top == max(0, top - round(10 / spacing[0]))
    assert box.bottom == min(80, top + height + round(10 / spacing[0]))
    assert box.left == max(0, left - round(10 / spacing[1]))
    assert box.right == min(100, left + width + round(10 / spacing[1]))
    assert box.cut(hu).shape == (box.rows, box.columns)


def test_a_body_that_moves_between_slices_is_held_whole() -> None:
    low, high = np.full((2, 60, 60), -1000, np.int16)
    low[40:50, 10:20] = 40
    high[10:20, 40:50] = 40
    box = body_box([low, high], (10.0, 10.0))
    assert box is not None
    assert (box.top, box.bottom, box.left, box.right) == (9, 51, 9, 51)


def test_a_wire_and_noise_are_no_body() -> None:
    hu = np.full((60, 60), -1000, np.int16)
    hu[5, 50] = hu[30, 3] = 900
    assert body_box([hu], (1.0, 1.0)) is None
