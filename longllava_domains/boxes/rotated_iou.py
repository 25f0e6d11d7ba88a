"""Intersection over union of many pairs of rotated rectangles at once.

`longllava_domains.boxes.geometry.box_iou` is the same measure for one pair, in plain Python.
"""

from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK: Final = 100_000  # pairs; bounds the memory that the polygons of one step take
_LARGEST: Final = 1e9  # beyond it, areas lose all digits


def rotated_iou(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of each pair of boxes.

    A box is (cx, cy, w, h, angle in radians), y down, the angle clockwise on screen from the x
    axis to the side ``w``.

    Args:
        first: (pairs, 5).
        second: (pairs, 5).

    Returns:
        (pairs,) from 0 to 1. It is 0 where a value is not finite or beyond 1e9, or where a box
        has no area; exactly 1 where both boxes are the same.
    """
    iou = np.zeros(len(first))
    for start in range(0, len(first), _CHUNK):
        part = slice(start, start + _CHUNK)
        iou[part] = _iou(first[part], second[part])
    return iou


def _iou(first: Floats, second: Floats) -> Floats:
    iou = np.zeros(len(first))
    usable = _has_area(first) & _has_area(second)
    same = usable & (first == second).all(axis=1)
    iou[same] = 1.0
    near = np.flatnonzero(usable & ~same)
    near = near[_may_meet(first[near], second[near])]
    if len(near):
        a, b = first[near], second[near]
        common = shapely.area(shapely.intersection(_polygons(a), _polygons(b)))
        union = a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - common
        iou[near] = np.minimum(common / union, 1.0)
    return iou


def _has_area(boxes: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.all(np.abs(boxes) <= _LARGEST, axis=1)  # False for NaN
    return found & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)


def _may_meet(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Compare the circles around the boxes, which is far cheaper than the boxes."""
    apart = np.hypot(first[:, 0] - second[:, 0], first[:, 1] - second[:, 1])
    reach = np.hypot(first[:, 2], first[:, 3]) + np.hypot(second[:, 2], second[:, 3])
    return np.less(apart, reach / 2)


def _polygons(boxes: Floats) -> NDArray[np.object_]:
    cx, cy, w, h, angle = boxes.T
    ux, uy = w / 2 * np.cos(angle), w / 2 * np.sin(angle)
    vx, vy = -h / 2 * np.sin(angle), h / 2 * np.cos(angle)
    corners = np.stack(
        [
            np.stack([cx + s * ux + t * vx, cy + s * uy + t * vy], axis=1)
            for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ],
        axis=1,
    )
    polygons: NDArray[np.object_] = shapely.polygons(corners)
    return polygons
