"""Detections of a scene, each object once where views overlap; the merge itself is `boxes.merge`."""

from collections.abc import Iterable, Sequence
from typing import Final

from longllava_domains.boxes import QUANTUM, Dialect, Frame, ViewBox, merge_boxes, sticks_out
from longllava_domains.remote_sensing.detections.detection import Detection, stitched
from longllava_domains.visual.place import MapPlace

_DIALECT: Final[Dialect] = "fit-rs"


def merge(
    detections: Sequence[Detection],
    views: Iterable[MapPlace] = (),
    *,
    dialect: Dialect = _DIALECT,
) -> tuple[Detection, ...]:
    """Return each object once, whatever the order of the detections. Classes are merged apart.

    Args:
        detections: Boxes of any number of views of one raster.
        views: Every view whose answer could be read, those without boxes too: they settle which view
            an object at their edges belongs to.
        dialect: How the answers wrote boxes; whole per cent stray further than hundredths.

    Returns:
        The objects from top to bottom, then left to right, of the raster.
    """
    frames = [_frame(place) for place in views]
    by_class: dict[str, list[Detection]] = {}
    for detection in detections:
        by_class.setdefault(detection.name, []).append(detection)
    objects = [
        found for group in by_class.values() for found in _merged(group, frames, QUANTUM[dialect])
    ]
    return tuple(sorted(objects, key=_place_in_scene))


def _merged(
    group: Sequence[Detection], frames: Sequence[Frame], quantum: float
) -> Iterable[Detection]:
    boxes = [ViewBox(d.corners_pixel(), _frame(d.place), d.score) for d in group]
    for found in merge_boxes(boxes, frames, quantum=quantum):
        whole = group[found.best]
        for piece in found.pieces:
            if sticks_out(boxes[piece], whole.corners_pixel()):
                whole = stitched(whole, group[piece])
        yield whole


def _frame(place: MapPlace) -> Frame:
    return Frame(place.column, place.row, place.width, place.height)


def _place_in_scene(detection: Detection) -> tuple[float, float, str]:
    columns, rows = zip(*detection.corners_pixel(), strict=True)
    return min(rows), min(columns), detection.name
