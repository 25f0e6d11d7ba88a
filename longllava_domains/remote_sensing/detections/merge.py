"""One detection for each object: rotated non-maximum suppression across overlapping views.

Two views that overlap both box what lies in the overlap. Boxes of two views are compared on
what *both could see*, the common part of their windows: there, a whole object and the piece of
it that another view's edge left over are the same shape, however much their areas differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from longllava_domains.boxes import Point, intersection, polygon_area, polygon_iou
from longllava_domains.remote_sensing.detections.detection import Detection, stitched
from longllava_domains.remote_sensing.detections.polygons import view_ring

# Two boxes at least this alike are one object (the usual threshold of rotated suppression).
_MATCH_IOU: Final = 0.5

# From which share inside another box on a piece at a view's edge is part of that object. An edge
# can leave the corner of an object: a triangle, which fills half of the rectangle around it.
_INSIDE: Final = 0.45


@dataclass(frozen=True)
class _Candidate:
    """A detection with what is compared again and again, in raster pixels."""

    detection: Detection

    @cached_property
    def corners(self) -> tuple[Point, ...]:
        return self.detection.corners_pixel()

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        columns, rows = zip(*self.corners, strict=True)
        return min(columns), min(rows), max(columns), max(rows)

    @cached_property
    def area(self) -> float:
        return abs(polygon_area(self.corners))

    @cached_property
    def is_cut(self) -> bool:
        return self.detection.is_cut

    @cached_property
    def rank(self) -> tuple[object, ...]:
        """Sort key, best first: whole, sure, central in its view; then by place, to settle ties."""
        score, place = self.detection.score, self.detection.place
        return (
            self.is_cut,
            -(score or 0.0),
            self._off_centre,
            place.row,
            place.column,
            self.corners,
        )

    @property
    def _off_centre(self) -> float:
        box = self.detection.box
        return round(max(abs(box.cx - 50), abs(box.cy - 50)), 6)

    def share_inside(self, other: "_Candidate") -> float:
        """Return which part of this box lies inside the other, 0 to 1."""
        common = abs(polygon_area(intersection(self.corners, other.corners)))
        return common / self.area if self.area > 0 else 0.0


def merge(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return each object once, whatever the order of the detections.

    Boxes that no view's edge cuts come first and suppress what matches them. What is left was
    cut in every view that shows it: matching pieces become one object, stitched together where
    one piece alone does not cover the others. Classes are merged apart.

    Args:
        detections: Boxes of any number of views of one raster.

    Returns:
        The objects from top to bottom, then left to right, of the raster.
    """
    by_class: dict[str, list[_Candidate]] = {}
    for detection in detections:
        by_class.setdefault(detection.name, []).append(_Candidate(detection))
    objects = [found for group in by_class.values() for found in _merge_class(group)]
    return tuple(sorted(objects, key=lambda d: (*_Candidate(d).bounds[1::-1], d.name)))


def _merge_class(candidates: list[_Candidate]) -> list[Detection]:
    ranked = sorted(candidates, key=lambda candidate: candidate.rank)
    neighbours = _neighbours(ranked)
    kept: set[int] = set()
    taken: set[int] = set()
    for index, candidate in enumerate(ranked):
        if candidate.is_cut:
            break  # ranked last: every whole box has been seen
        if index not in taken:
            kept.add(index)
            taken.update(other for other in neighbours[index] if _is_same(candidate, ranked[other]))
    objects = [ranked[index].detection for index in sorted(kept)]
    pieces = [i for i, c in enumerate(ranked) if c.is_cut and i not in taken]
    for group in _connected(pieces, ranked, neighbours):
        objects.append(_join([ranked[index] for index in group]))
    return objects


def _neighbours(ranked: Sequence[_Candidate]) -> list[list[int]]:
    """Return for each candidate those whose upright bounds meet its own, by a sweep over columns."""
    found: list[list[int]] = [[] for _ in ranked]
    order = sorted(range(len(ranked)), key=lambda i: ranked[i].bounds[0])
    active: list[int] = []
    for index in order:
        left, top, _, bottom = ranked[index].bounds
        active = [other for other in active if ranked[other].bounds[2] >= left]
        for other in active:
            bounds = ranked[other].bounds
            if bounds[1] <= bottom and bounds[3] >= top:
                found[index].append(other)
                found[other].append(index)
        active.append(index)
    return found


def _is_same(first: _Candidate, second: _Candidate) -> bool:
    """Tell whether two boxes of one class show one object."""
    if polygon_iou(first.corners, second.corners) >= _MATCH_IOU:
        return True
    if first.detection.place == second.detection.place:
        return False
    zone = intersection(view_ring(first.detection.place), view_ring(second.detection.place))
    if abs(polygon_area(zone)) == 0:
        return False
    seen = intersection(first.corners, zone), intersection(second.corners, zone)
    if polygon_iou(*seen) >= _MATCH_IOU:
        return True
    pairs = ((first, second), (second, first))
    return any(a.is_cut and a.share_inside(b) >= _INSIDE for a, b in pairs)


def _connected(
    pieces: Sequence[int],
    ranked: Sequence[_Candidate],
    neighbours: Sequence[Sequence[int]],
) -> list[list[int]]:
    """Return groups of pieces that match one another directly or through others, best first."""
    left = set(pieces)
    groups = []
    for start in pieces:
        if start not in left:
            continue
        left.remove(start)
        group, frontier = [start], [start]
        while frontier:
            here = frontier.pop()
            for other in sorted(left.intersection(neighbours[here])):
                if _is_same(ranked[here], ranked[other]):
                    left.remove(other)
                    group.append(other)
                    frontier.append(other)
        groups.append(sorted(group))
    return groups


def _join(pieces: Sequence[_Candidate]) -> Detection:
    """Return the largest piece, grown around each next one that it does not yet cover."""
    largest, *others = sorted(pieces, key=lambda piece: (-round(piece.area, 6), piece.rank))
    whole = largest
    for piece in others:
        if piece.share_inside(whole) < _INSIDE:
            whole = _Candidate(stitched(whole.detection, piece.detection))
    return whole.detection
