"""Boxes that models write and evaluators read: their texts, and the geometry they mean."""

from longllava_domains.boxes.geometry import (
    Box,
    Dialect,
    Point,
    box_iou,
    clip_half_plane,
    enclosing_box,
    intersection,
    polygon_area,
    polygon_iou,
)
from longllava_domains.boxes.merge import Merged, merge_boxes
from longllava_domains.boxes.score import SCORE_KIND, answer_score
from longllava_domains.boxes.text import (
    FIT_RS_MIN_SIDE,
    PROBLEMS,
    QUANTUM,
    BoxText,
    NamedBox,
    parse_boxes,
    write_boxes,
)
from longllava_domains.boxes.view_box import Frame, ViewBox, sticks_out

__all__ = [
    "FIT_RS_MIN_SIDE",
    "PROBLEMS",
    "QUANTUM",
    "SCORE_KIND",
    "Box",
    "BoxText",
    "Dialect",
    "Frame",
    "Merged",
    "NamedBox",
    "Point",
    "ViewBox",
    "answer_score",
    "box_iou",
    "clip_half_plane",
    "enclosing_box",
    "intersection",
    "merge_boxes",
    "parse_boxes",
    "polygon_area",
    "polygon_iou",
    "sticks_out",
    "write_boxes",
]


def __dir__() -> list[str]:
    return list(__all__)
