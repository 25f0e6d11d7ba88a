"""Counts stay right where views overlap, whatever the size, the error and the dialect."""

from typing import Any

import numpy as np
import pytest

from longllava_domains.boxes import (
    Box,
    Frame,
    ViewBox,
    enclosing_box,
    intersection,
    merge_boxes,
    polygon_area,
)

CHIP, SCENE = 512, 1000


def frames(overlap: int) -> list[Frame]:
    starts = [*range(0, SCENE - CHIP, CHIP - overlap), SCENE - CHIP]
    return [Frame(left, top, CHIP, CHIP) for top in starts for left in starts]


def objects(length: float, width: float, seed: int) -> list[Box]:
    """Return boxes with a clear gap between them, turned as they like."""
    dice = np.random.default_rng(seed)
    step = max(1.6 * length + 14, SCENE / 14)
    count = int((SCENE - length) // step)
    return [
        Box(length + column * step + dice.uniform(-3, 3), length + row * step + dice.uniform(-3, 3),
            length, width, dice.uniform(1, 90))
        for row in range(count) for column in range(count)
    ]  # fmt: skip


def said(things, views, error: float, quantum: float, seed: int, missed: float = 0.0) -> Any:
    """Return what a model that strays says: edges moved, then rounded to the dialect's steps."""
    dice = np.random.default_rng(seed)
    found = []
    for frame in views:
        for thing in things:
            if abs(thing.cx - frame.left - 256) > 420 or abs(thing.cy - frame.top - 256) > 420:
                continue
            shown = intersection(thing.corners(), frame.corners)
            if abs(polygon_area(shown)) < thing.w * thing.h / 3 or dice.random() < missed:
                continue
            box = enclosing_box(shown)
            stray = dice.normal(0, error, 4) if error else np.zeros(4)
            values = np.array([box.cx - frame.left, box.cy - frame.top, box.w, box.h]) + stray
            cx, cy, w, h = np.maximum(np.round(values / 5.12 / quantum) * quantum, quantum)
            corners = Box(cx, cy, w, h, box.angle_deg).corners()
            corners = tuple((x * 5.12 + frame.left, y * 5.12 + frame.top) for x, y in corners)
            found.append(ViewBox(corners, frame))
    return found


@pytest.mark.parametrize(("overlap", "error"), [(100, 0), (200, 1), (100, 3), (200, 3)])
@pytest.mark.parametrize("quantum", [0.01, 1.0])
@pytest.mark.parametrize("size", [(10, 8), (24, 12), (60, 25), (150, 10)])
def test_counts_do_not_inflate_where_chips_overlap(overlap, error, quantum, size) -> None:
    """Family: boxes of one object that cover each other too little to be called one."""
    things = objects(*size, seed=7)
    views = frames(overlap)
    merged = merge_boxes(said(things, views, error, quantum, seed=11), views, quantum=quantum)
    assert abs(len(merged) - len(things)) <= 0.03 * len(things) + (1 if error == 3 else 0)


def test_chips_that_only_touch_share_what_their_edge_cuts() -> None:
    """Family: pieces of one object in two views that have no pixel in common."""
    things = objects(60, 25, seed=3)
    views = frames(0)
    boxes = said(things, views, 0, 0.01, seed=1)
    assert len(boxes) > len(things)
    assert abs(len(merge_boxes(boxes, views)) - len(things)) <= 0.01 * len(things)


def test_boxes_of_one_view_are_two_objects_however_near() -> None:
    """Family: neighbours in a dense row taken for one object."""
    views = frames(100)
    row = [Box(440 + 9.0 * n, 300, 8, 20, 90) for n in range(8)]  # cars, across an overlap
    boxes = said(row, views, 0.5, 0.01, seed=2)
    assert len(boxes) > len(row)
    assert len(merge_boxes(boxes, views)) == len(row)


@pytest.mark.parametrize("seed", range(3))
def test_what_one_view_misses_another_one_finds(seed) -> None:
    """Family: rules against doubles that lose objects."""
    things = objects(24, 12, seed)
    views = frames(200)
    boxes = said(things, views, 1, 1.0, seed, missed=0.2)
    alone = said(things, frames(0), 1, 1.0, seed, missed=0.2)
    merged = merge_boxes(boxes, views, quantum=1.0)
    assert len(merge_boxes(alone, frames(0), quantum=1.0)) < len(merged) <= len(things)


def test_a_lone_box_at_a_views_edge_counts_where_its_owner_was_silent() -> None:
    """Family: rules against doubles that lose objects; an unreadable view owns nothing."""
    first, second = Frame(0, 0, 100, 100), Frame(60, 0, 100, 100)
    box = ViewBox(Box(90, 50, 10, 10, 90).corners(), first)
    assert len(merge_boxes([box], [first, second])) == 1
    assert len(merge_boxes([box], [first])) == 1


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_boxes_does_not_matter(seed) -> None:
    views = frames(100)
    boxes = said(objects(24, 12, seed), views, 3, 1.0, seed, missed=0.1)
    order = np.random.default_rng(seed).permutation(len(boxes))
    shuffled = [boxes[index] for index in order]
    first = {boxes[m.best].corners for m in merge_boxes(boxes, views, quantum=1.0)}
    second = {shuffled[m.best].corners for m in merge_boxes(shuffled, views, quantum=1.0)}
    assert first == second


def test_nothing_is_nothing() -> None:
    assert merge_boxes([], frames(100)) == []
    assert merge_boxes([]) == []
