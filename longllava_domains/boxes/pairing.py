"""Pairing of boxes: those of different views that are one object, and those that count."""

import math
from collections.abc import Sequence
from typing import Final

from longllava_domains.boxes.geometry import Point, intersection, polygon_iou
from longllava_domains.boxes.view_box import Frame, ViewBox, sticks_out

# Per cent of a view's side: how far models place corners off, whatever its dialect could spell.
_STRAY: Final = 1.5
# Of the short side of the smaller box: how far middles of one object may lie apart beside the strays.
_OF_SIZE: Final = 0.5
# Boxes of one object have areas that differ by less, once both are grown by the strays.
_LIKE_AREA: Final = 0.25
# Boxes of one view at least this alike are one object said twice (the usual threshold).
_SAME_IOU: Final = 0.5
# How many tolerances from a box of its owner a box without a partner is the same object after all.
_CLAIM: Final = 2.0

_Bounds = tuple[float, float, float, float]


class Survey:
    """Boxes and the frames they were seen in, with what pairing asks again and again."""

    def __init__(self, boxes: Sequence[ViewBox], frames: Sequence[Frame], quantum: float) -> None:
        self.boxes = boxes
        self.frames = frames
        self.stray_share = (_STRAY + quantum) / 100
        if frames:
            self.left = min(frame.left for frame in frames)
            self.top = min(frame.top for frame in frames)
            self.right = max(frame.left + frame.width for frame in frames)
            self.bottom = max(frame.top + frame.height for frame in frames)
        self.stray = [self.stray_share * max(box.frame.width, box.frame.height) for box in boxes]
        self.is_cut = [self._is_cut(index) for index in range(len(boxes))]

    def rank(self, index: int) -> tuple[object, ...]:
        """Sort key, best first: whole, sure, deep in its view; then by place, to settle ties."""
        box = self.boxes[index]
        depth = self._depth(box.frame, box.middle)
        return (
            self.is_cut[index],
            -box.area if self.is_cut[index] else 0.0,
            -(box.score or 0.0),
            -round(depth, 6),
            box.frame.top,
            box.frame.left,
            box.corners,
        )

    def said_once(self, ranked: Sequence[int]) -> list[int]:
        """Return boxes without those that repeat a better one of the same view."""
        kept: list[int] = []
        by_frame: dict[Frame, list[int]] = {}
        for index in ranked:
            others = by_frame.setdefault(self.boxes[index].frame, [])
            box = self.boxes[index]
            if all(polygon_iou(box.corners, self.boxes[o].corners) < _SAME_IOU for o in others):
                others.append(index)
                kept.append(index)
        return kept

    def paired(self, indices: Sequence[int]) -> list[list[int]]:
        """Join boxes of different views, the nearest first; a group has one box of each view."""
        pairs: list[tuple[float, int, int]] = []
        for first, second in self._neighbours(indices):
            apart = self._apart(first, second)
            if apart <= 1:
                better, worse = sorted((first, second), key=self.rank)
                pairs.append((round(apart, 9), better, worse))
        pairs.sort(key=lambda pair: (pair[0], self.rank(pair[1]), self.rank(pair[2])))
        group_of = {index: [index] for index in indices}
        for _, first, second in pairs:
            one, other = group_of[first], group_of[second]
            frames = {self.boxes[index].frame for index in one}
            if one is other or any(self.boxes[index].frame in frames for index in other):
                continue
            one.extend(other)
            group_of.update(dict.fromkeys(other, one))
        return list({id(group): group for group in group_of.values()}.values())

    def counted(self, groups: Sequence[list[int]]) -> list[list[int]]:
        """Leave out what another view boxed otherwise: groups beside those of their owner."""
        kept: list[list[int]] = []
        doubtful: list[list[int]] = []
        for group in groups:
            owned = any(self._is_owner(index) for index in group)
            (kept if owned or len(group) > 1 else doubtful).append(group)
        doubtful.sort(key=lambda group: self.rank(group[0]))
        owner_of = {index: number for number, group in enumerate(kept) for index in group}
        near: dict[int, set[int]] = {}
        singles = {group[0] for group in doubtful}
        for first, second in self._neighbours([*owner_of, *singles]):
            for single, other in ((first, second), (second, first)):
                if single in singles and other in owner_of and self._claims(other, single):
                    near.setdefault(single, set()).add(owner_of[other])
        for group in doubtful:
            frame = self.boxes[group[0]].frame
            claimed = any(
                all(self.boxes[index].frame != frame for index in kept[number])
                for number in near.get(group[0], ())
            )
            if not claimed:
                kept.append(group)
        return kept

    def _neighbours(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Return pairs of different views whose bounds come near each other, by a sweep."""
        order = sorted(indices, key=lambda index: self.boxes[index].bounds[0])
        found, active = [], list[int]()
        for index in order:
            left, top, _, bottom = self.boxes[index].bounds
            reach = _CLAIM * self._tolerance(index, index)
            active = [other for other in active if self.boxes[other].bounds[2] >= left - 2 * reach]
            for other in active:
                bounds = self.boxes[other].bounds
                meets = bounds[1] <= bottom + reach and bounds[3] >= top - reach
                if meets and self.boxes[other].frame != self.boxes[index].frame:
                    found.append((other, index))
            active.append(index)
        return found

    def _tolerance(self, first: int, second: int) -> float:
        short = min(self.boxes[first].short_px, self.boxes[second].short_px)
        return max(self.stray[first], self.stray[second]) + _OF_SIZE * short

    def _apart(self, first: int, second: int) -> float:
        """Return how many tolerances two boxes lie apart in what both views show."""
        one, other = self.boxes[first], self.boxes[second]
        zone = _common(one.frame, other.frame, max(self.stray[first], self.stray[second]))
        if zone is None:
            return math.inf
        exact = _common(one.frame, other.frame, 0.0)
        reaches = [exact is not None and _overlap(box.bounds, exact) for box in (one, other)]
        cut = (self.is_cut[first], self.is_cut[second])
        # A box outside of the other's view may only be the rest of a piece that the edge left there.
        if (not reaches[0] and not cut[1]) or (not reaches[1] and not cut[0]):
            return math.inf
        if not any(reaches) and not (all(cut) and self._touch(one, other)):
            return math.inf
        shapes = [_bounds(intersection(box.corners, _ring(zone))) for box in (one, other)]
        if shapes[0] is None or shapes[1] is None:
            return math.inf
        if not self._like(shapes[0], shapes[1], max(self.stray[first], self.stray[second])):
            return math.inf
        return math.dist(_centre(shapes[0]), _centre(shapes[1])) / self._tolerance(first, second)

    def _touch(self, one: ViewBox, other: ViewBox) -> bool:
        """Return whether two pieces lie on the two sides of one edge."""
        grown = self.stray_share * max(one.frame.width, one.frame.height) / 2
        left, top, right, bottom = one.bounds
        return _overlap((left - grown, top - grown, right + grown, bottom + grown), other.bounds)

    @staticmethod
    def _like(one: _Bounds, other: _Bounds, stray: float) -> bool:
        areas = [(b[2] - b[0] + stray) * (b[3] - b[1] + stray) for b in (one, other)]
        return min(areas) >= _LIKE_AREA * max(areas)

    def _claims(self, owner: int, single: int) -> bool:
        """Return whether a box lies where another view boxed its own."""
        one, other = self.boxes[owner], self.boxes[single]
        tolerance = self._tolerance(owner, single)
        if math.dist(one.middle, other.middle) <= _CLAIM * tolerance:
            return True
        stray = max(self.stray[owner], self.stray[single])
        left, top, right, bottom = one.bounds
        grown = _ring((left - stray, top - stray, right + stray, bottom + stray))
        return self.is_cut[single] and not sticks_out(other, grown)

    def _is_owner(self, index: int) -> bool:
        """Return whether no other view shows the middle of this box deeper inside."""
        box = self.boxes[index]
        own = self._depth(box.frame, box.middle)
        return all(self._depth(frame, box.middle) <= own + 1e-9 for frame in self.frames)

    def _depth(self, frame: Frame, point: Point) -> float:
        """Return pixels to the nearest edge that cuts something off; edges of the picture do not."""
        edges = [
            (point[0] - frame.left, frame.left > self.left),
            (point[1] - frame.top, frame.top > self.top),
            (frame.left + frame.width - point[0], frame.left + frame.width < self.right),
            (frame.top + frame.height - point[1], frame.top + frame.height < self.bottom),
        ]
        return min((distance for distance, cuts in edges if cuts), default=math.inf)

    def _is_cut(self, index: int) -> bool:
        """Return whether an edge that cuts something off is as near as corners stray."""
        box = self.boxes[index]
        return min(self._depth(box.frame, corner) for corner in box.corners) < self.stray[index]


def _common(one: Frame, other: Frame, grown: float) -> _Bounds | None:
    left, top = max(one.left, other.left) - grown, max(one.top, other.top) - grown
    right = min(one.left + one.width, other.left + other.width) + grown
    bottom = min(one.top + one.height, other.top + other.height) + grown
    return (left, top, right, bottom) if left < right and top < bottom else None


def _overlap(one: _Bounds, other: _Bounds) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ring(bounds: _Bounds) -> tuple[Point, ...]:
    left, top, right, bottom = bounds
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _bounds(points: Sequence[Point]) -> _Bounds | None:
    if len(points) < 3:
        return None
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def _centre(bounds: _Bounds) -> Point:
    return (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
