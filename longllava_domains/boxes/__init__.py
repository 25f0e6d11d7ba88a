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
from longllava_domains.boxes.text import (
    FIT_RS_MIN_SIDE,
    PROBLEMS,
    BoxText,
    NamedBox,
    parse_boxes,
    write_boxes,
)

__all__ = [
    "FIT_RS_MIN_SIDE",
    "PROBLEMS",
    "Box",
    "BoxText",
    "Dialect",
    "NamedBox",
    "Point",
    "box_iou",
    "clip_half_plane",
    "enclosing_box",
    "intersection",
    "parse_boxes",
    "polygon_area",
    "polygon_iou",
    "write_boxes",
]
