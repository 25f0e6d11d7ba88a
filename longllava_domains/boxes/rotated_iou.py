"""Intersection over union of many pairs of rotated rectangles at once.

`longllava_domains.boxes.geometry.box_iou` is the same measure for one pair, in plain Python.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK: Final = 20_000  # pairs; keeps the arrays of one step within a processor's cache
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
        common = _common_area(a, b)
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


def _common_area(first: Floats, second: Floats) -> Floats:
    """Return the area that two boxes share.

    Seen from the second box, it is |x| <= w/2 and |y| <= h/2. Moving every point outside to the
    nearest point of it maps the first box's outline to a path on it that winds once around the
    shared part and encloses nothing else. So the area is the integral of x dy along that path,
    which is straight between the places where an edge meets x = +-w/2 or y = +-h/2.
    """
    x0, y0 = _corners_seen_from(first, second)
    dx, dy = np.roll(x0, -1, axis=1) - x0, np.roll(y0, -1, axis=1) - y0
    reach_x, reach_y = second[:, 2, None] / 2, second[:, 3, None] / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        meets = [
            (side * reach - start) / step
            for reach, start, step in ((reach_x, x0, dx), (reach_y, y0, dy))
            for side in (-1, 1)
        ]
    ends = [np.zeros_like(x0), np.ones_like(x0)]
    along = np.stack([*ends, *(np.clip(np.nan_to_num(each), 0, 1) for each in meets)])
    along.sort(axis=0)
    x = np.clip(x0 + along * dx, -reach_x, reach_x)
    y = np.clip(y0 + along * dy, -reach_y, reach_y)
    area: Floats = np.abs(((x[1:] + x[:-1]) * np.diff(y, axis=0)).sum(axis=(0, 2))) / 2
    return area


def _corners_seen_from(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return the first box's corners, (pairs, 4) each, in the frame of the second box."""
    cos, sin = np.cos(second[:, 4]), np.sin(second[:, 4])
    dx, dy = first[:, 0] - second[:, 0], first[:, 1] - second[:, 1]
    cx, cy = dx * cos + dy * sin, dy * cos - dx * sin
    cos, sin = np.cos(first[:, 4] - second[:, 4]), np.sin(first[:, 4] - second[:, 4])
    ux, uy = first[:, 2] / 2 * cos, first[:, 2] / 2 * sin
    vx, vy = -first[:, 3] / 2 * sin, first[:, 3] / 2 * cos
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    x = np.stack([cx + s * ux + t * vx for s, t in signs], axis=1)
    y = np.stack([cy + s * uy + t * vy for s, t in signs], axis=1)
    return x, y
