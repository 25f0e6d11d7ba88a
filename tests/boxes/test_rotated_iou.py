"""Many pairs at once give what one pair at a time gives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.boxes import Box, box_iou
from longllava_domains.boxes.rotated_iou import rotated_iou

values = st.tuples(
    st.floats(0, 100), st.floats(0, 100), st.floats(0.5, 60), st.floats(0.5, 60), st.floats(0, 90)
)


def as_array(boxes: list[tuple[float, ...]]) -> np.ndarray:
    found = np.array(boxes, float).reshape(-1, 5)
    found[:, 4] = np.radians(found[:, 4])
    return found


@given(st.lists(st.tuples(values, values), min_size=1, max_size=20))
def test_each_pair_as_the_slow_measure_of_one_pair(pairs: list) -> None:
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    slow = [box_iou(Box(*one), Box(*other)) for one, other in pairs]
    assert rotated_iou(as_array(first), as_array(second)) == pytest.approx(slow, abs=1e-9)


def test_a_box_is_exactly_itself() -> None:
    turned = as_array([(45, 66, 23, 19, 1), (0.1, 0.2, 0.3, 0.7, 33)])
    assert rotated_iou(turned, turned).tolist() == [1.0, 1.0]


@given(values, st.sampled_from([0.25, 0.5, 1.0]))
def test_a_box_in_a_corner_or_the_middle_of_another(box: tuple, share: float) -> None:
    cx, cy, w, h, angle = box
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    shift = w * (1 - share) / 2  # along the side w: the edges of both boxes coincide
    inner = [
        (cx, cy, w * share, h, angle),
        (cx + shift * cos, cy + shift * sin, w * share, h, angle),
    ]
    assert rotated_iou(as_array([box] * 2), as_array(inner)) == pytest.approx([share] * 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("place", range(5))
def test_a_value_without_sense_meets_nothing(value: float, place: int) -> None:
    good = as_array([(50, 50, 10, 10, 90)])
    bad = good.copy()
    bad[0, place] = value
    assert rotated_iou(bad, good).tolist() == [0.0]
    assert rotated_iou(bad, bad).tolist() == [0.0]


def test_no_pair_is_no_number() -> None:
    assert rotated_iou(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)


def test_a_box_without_area_meets_nothing() -> None:
    flat = as_array([(50, 50, 0, 10, 90), (50, 50, -10, 10, 90)])
    assert rotated_iou(flat, flat).tolist() == [0.0, 0.0]
