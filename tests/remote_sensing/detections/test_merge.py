"""Where views overlap each object comes back once, whole, and in an order that is always the same."""

import random
from typing import Any

import pytest

from longllava_domains.boxes import (
    Box,
    enclosing_box,
    intersection,
    polygon_area,
    polygon_iou,
)
from longllava_domains.remote_sensing.detections.detection import Detection
from longllava_domains.remote_sensing.detections.merge import merge
from longllava_domains.visual import MapPlace

CHIP, STEP = 100, 60  # overlap 40


def chips(columns: int, rows: int) -> list[MapPlace]:
    return [
        MapPlace(c * STEP, r * STEP, CHIP, CHIP, "chip", None, None)
        for r in range(rows)
        for c in range(columns)
    ]


def boxed(place: MapPlace, outline, name="ship") -> list[Detection]:
    """What a careful annotator draws in one chip: a box around the part that shows."""
    window = [
        (place.column + x, place.row + y) for x, y in ((0, 0), (CHIP, 0), (CHIP, CHIP), (0, CHIP))
    ]
    visible = intersection(outline, window)
    if abs(polygon_area(visible)) < 0.1 * abs(polygon_area(outline)):
        return []
    local = [(x - place.column, y - place.row) for x, y in visible]  # a chip is 100 px: per cent
    return [Detection(name, enclosing_box(local), place)]


def survey(outlines, places, name="ship") -> Any:
    return [
        found for place in places for outline in outlines for found in boxed(place, outline, name)
    ]


def grid_of_objects(seed: int) -> list[tuple]:
    """Objects with sides of 6 to 30 px, none nearer than 5 px to another, in a 340 px square."""
    dice = random.Random(seed)
    return [
        Box(
            25 + 48 * column + dice.uniform(-4, 4),
            25 + 48 * row + dice.uniform(-4, 4),
            dice.uniform(12, 30),
            dice.uniform(6, 14),
            dice.uniform(1, 90),
        ).corners()
        for column in range(7)
        for row in range(7)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_every_object_comes_back_once_and_whole(seed) -> None:
    outlines = grid_of_objects(seed)
    found = survey(outlines, chips(5, 5))
    merged = merge(found)
    assert len(found) > len(merged) == len(outlines)
    for outline in outlines:
        assert max(polygon_iou(outline, d.corners_pixel()) for d in merged) > 0.999


@pytest.mark.parametrize("seed", range(6))
def test_order_of_views_does_not_matter(seed) -> None:
    dice = random.Random(seed)
    found = survey(grid_of_objects(seed), chips(4, 4))
    shuffled = list(found)
    dice.shuffle(shuffled)
    assert merge(shuffled) == merge(found)


def test_whole_box_wins_over_the_piece_that_an_edge_left() -> None:
    outline = Box(95, 50, 30, 10, 90).corners()  # 90..100 x 35..65
    sideways = Box(95, 50, 40, 10, 10).corners()  # reaches beyond the first chip
    for shape in (outline, sideways):
        found = survey([shape], chips(2, 1))
        assert len(found) == 2
        (only,) = merge(found)
        assert only.view_id == "chip-r0-c60-100x100"
        assert not only.is_cut
        assert polygon_iou(shape, only.corners_pixel()) > 0.999


@pytest.mark.parametrize("angle", [90, 0, 12, 78])
def test_object_longer_than_any_view_is_stitched(angle) -> None:
    runway = Box(180, 180, 300, 20, angle).corners()
    found = survey([runway], chips(6, 6))
    (only,) = merge(found)
    assert only.pieces > 2
    assert polygon_iou(runway, only.corners_pixel()) > 0.7  # slanted ends make it wider


def test_neighbours_and_other_classes_stay_apart() -> None:
    first, second = Box(50, 50, 20, 10, 90).corners(), Box(62, 50, 20, 10, 90).corners()
    assert len(merge(survey([first, second], chips(1, 1)))) == 2
    both = survey([first], chips(1, 1)) + survey([first], chips(1, 1), name="dock")
    assert {d.name for d in merge(both)} == {"ship", "dock"}


def test_a_box_said_twice_in_one_answer_is_one_object() -> None:
    (found,) = survey([Box(50, 50, 20, 10, 30).corners()], chips(1, 1))
    assert merge([found, found, found]) == (found,)


def test_surer_of_two_equal_boxes_is_kept() -> None:
    place = chips(1, 1)[0]
    unsure = Detection("ship", Box(50, 50, 20, 10, 30), place, score=0.2)
    sure = Detection("ship", Box(50.5, 50, 20, 10, 30), place, score=0.9)
    assert merge([unsure, sure]) == (sure,)


def test_nothing_merges_to_nothing() -> None:
    assert merge([]) == ()
