"""Boxes are read as the official scorer reads them: by number and size, nothing else."""

import math

import pytest
from fit_rsfg_answers import box, group

from longllava_domains.evaluate.fit_rsfg.complex.box_text import (
    RaggedGroupError,
    is_usable,
    read_boxes,
    read_group,
)


def test_the_angle_is_read_in_radians() -> None:
    assert read_boxes(box(1, 2, 3, 4, 90)) == [(1, 2, 3, 4, pytest.approx(math.pi / 2))]


@pytest.mark.parametrize(
    "text",
    [
        "{<1><2><3><4>}",
        "{<1><2><3><4>|<90><1>}",
        "{<1><2><1.99><4>|<90>}",
        "{<1><2><3><1.99>|<90>}",
        "{<1><2><3><four>|<90>}",
        "{<>}",
        "{}",
        "{1, 2, 3, 4, 90}",
        "<1><2><3><4>|<90>",
        "{<1><2><3>\n<4>|<90>}",
    ],
)
def test_a_malformed_or_small_box_is_dropped(text: str) -> None:
    assert read_boxes(text) == []


def test_numbers_are_those_of_python() -> None:
    assert len(read_boxes("{< 1e1 ><-5><1_0><٢٠>|<900>}")) == 1


def test_a_side_that_is_no_number_counts_as_a_box() -> None:
    (found,) = read_boxes("{<1><2><nan><nan>|<90>}")
    assert is_usable(found)


def test_a_group_keeps_its_malformed_boxes_for_the_count() -> None:
    assert [is_usable(one) for one in read_group(group(box(1, 2), box(1, 2, 1, 1)))] == [
        True,
        False,
    ]


def test_boxes_of_different_lengths_are_refused() -> None:
    with pytest.raises(RaggedGroupError):
        read_group(group(box(1, 2), "{<1><2>|<90>}"))
