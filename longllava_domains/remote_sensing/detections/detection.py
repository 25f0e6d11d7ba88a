"""`Detection`: one object that a model boxed in one view, with its corners on every grid."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from longllava_domains.boxes import (
    SCORE_KIND,
    Box,
    Dialect,
    Point,
    answer_score,
    enclosing_box,
    parse_boxes,
)
from longllava_domains.remote_sensing.detections.polygons import Ring, lonlat_ring, map_ring
from longllava_domains.visual.place import MapPlace
from longllava_domains.visual.strips import Mask

# Per cent of the view's side. A box this near to an edge may go on beyond it: 2.5 of 512 pixels.
_CUT_MARGIN: Final = 0.5


@dataclass(frozen=True)
class Detection:
    """One object, boxed in one view.

    Attributes:
        name: Class of the object.
        box: Per cent of the view's sides; an object stitched across views may reach beyond.
        place: Where the view lies in the raster.
        score: Geometric mean probability of the answer's tokens, 0 to 1, shared by all boxes of
            one answer; see `SCORE_KIND`. None where the model gave no log-probabilities.
        pieces: How many boxes of different views were stitched into this one.
    """

    name: str
    box: Box
    place: MapPlace
    score: float | None = None
    pieces: int = 1

    @property
    def angle_deg(self) -> float:
        """Angle of `box`: clockwise in the image from the column axis to its side w, 0 to 90."""
        return self.box.angle_deg

    @property
    def resolution_m(self) -> float | None:
        """Ground metres per pixel of the view, None without a georeference."""
        return self.place.resolution_m

    @property
    def view_id(self) -> str:
        """Name of the view; the same window always has the same name."""
        return view_id(self.place)

    @property
    def is_cut(self) -> bool:
        """True where the box touches the edge of its view, so that the object may go on."""
        values = [value for corner in self.box.corners() for value in corner]
        return min(values) < _CUT_MARGIN or max(values) > 100 - _CUT_MARGIN

    def corners_pixel(self) -> tuple[Point, ...]:
        """Return the corners in raster (column, row), (0, 0) at the first pixel's outer corner."""
        return to_pixel(self.place, self.box.corners())

    def ring_map(self) -> Ring | None:
        """Return the outline in the raster's CRS; None where the georeference is undefined.

        Raises:
            GeoreferenceError: The raster has no georeference.
        """
        return map_ring(self.place, self.corners_pixel())

    def ring_lonlat(self) -> Ring | None:
        """Return the outline in WGS 84 degrees; None where the projection is undefined.

        Raises:
            GeoreferenceError: The raster has no georeference on Earth.
        """
        return lonlat_ring(self.place, self.corners_pixel())

    def to_json(self) -> dict[str, Any]:
        """Return the detection in pixels, and in map coordinates where there are any."""
        located = self.place.pixel_to_map is not None
        return {
            "class": self.name,
            "score": self.score,
            "score_kind": None if self.score is None else SCORE_KIND,
            "angle_deg": self.angle_deg,
            "resolution_m": self.resolution_m,
            "view_id": self.view_id,
            "pieces": self.pieces,
            "corners_view_percent": [list(corner) for corner in self.box.corners()],
            "corners_pixel": [list(corner) for corner in self.corners_pixel()],
            "ring_map": [list(p) for p in self.ring_map() or ()] if located else None,
            "crs": self.place.crs,
        }


@dataclass(frozen=True)
class ViewReading:
    """Reading of one answer about one view.

    Attributes:
        detections: Its well-formed boxes.
        problems: Code of `boxes.PROBLEMS` -> how often.
    """

    detections: tuple[Detection, ...]
    problems: Mapping[str, int]


def view_id(place: MapPlace) -> str:
    """Name a view by role and window: ``chip-r512-c1024-512x512``."""
    window = f"r{place.row:g}-c{place.column:g}-{place.width:g}x{place.height:g}"
    return f"{place.role}-{window}"


def to_pixel(place: MapPlace, percent: Sequence[Point]) -> tuple[Point, ...]:
    """Return raster (column, row) of points in per cent of the view's sides."""
    return tuple(place.view_to_pixel(x / 100, y / 100) for x, y in percent)


def from_text(
    place: MapPlace,
    text: str,
    category: str,
    *,
    scene_px: tuple[int, int] | None = None,
    valid: Mask | None = None,
    dialect: Dialect = "fit-rs",
    token_logprobs: Sequence[float] = (),
) -> ViewReading:
    """Read the boxes of an answer about one view.

    Args:
        place: Where the view lies.
        text: The answer.
        scene_px: (width, height) of the raster; boxes in the padding beside it are counted as
            problems. None where the view lies inside.
        valid: Which pixels of the view are data; boxes without any are counted as problems. None
            where all are.
        category: What was asked for, singular: the class of boxes that the text does not name.
        dialect: How the answer writes boxes.
        token_logprobs: Log-probability of each token of the answer.
    """
    read = parse_boxes(text, dialect=dialect)
    score = answer_score(token_logprobs)
    asked = {None, category, f"{category}s"}
    kept: list[Detection] = []
    problems = Counter(read.problems)
    for named in read.boxes:
        if scene_px is not None and not _shows(place, named.box, scene_px):
            problems["outside_scene"] += 1
        elif valid is not None and not _holds_data(named.box, valid):
            problems["on_nodata"] += 1
        else:
            name = category if named.name in asked else str(named.name)
            kept.append(Detection(name, named.box, place, score))
    return ViewReading(tuple(kept), dict(sorted(problems.items())))


def _shows(place: MapPlace, box: Box, scene_px: tuple[int, int]) -> bool:
    """Return whether the centre of a box lies in the scene."""
    column, row = place.view_to_pixel(box.cx / 100, box.cy / 100)
    return 0 <= column <= scene_px[0] and 0 <= row <= scene_px[1]


def _holds_data(box: Box, valid: Mask) -> bool:
    """Return whether any pixel whose middle lies in a box is data; the nearest, in a tiny box."""
    height, width = valid.shape
    corners = [(x * width / 100, y * height / 100) for x, y in box.corners()]
    columns, rows = zip(*corners, strict=True)
    left, right = _clamped(min(columns), width), _clamped(max(columns), width)
    top, bottom = _clamped(min(rows), height), _clamped(max(rows), height)
    across, down = np.meshgrid(np.arange(left, right + 1) + 0.5, np.arange(top, bottom + 1) + 0.5)
    inside = np.ones(across.shape, np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        inside &= (x1 - x0) * (down - y0) - (y1 - y0) * (across - x0) >= 0
    part = valid[top : bottom + 1, left : right + 1]
    if inside.any():
        return bool((part & inside).any())
    return bool(
        valid[_clamped(box.cy * height / 100, height), _clamped(box.cx * width / 100, width)]
    )


def _clamped(pixel: float, size: int) -> int:
    return min(max(int(pixel), 0), size - 1)


def stitched(first: Detection, second: Detection) -> Detection:
    """Return one detection around two pieces of an object, told in the first one's view."""
    place = first.place
    corners = [
        (100 * (column - place.column) / place.width, 100 * (row - place.row) / place.height)
        for column, row in (*first.corners_pixel(), *second.corners_pixel())
    ]
    scores = [piece.score for piece in (first, second) if piece.score is not None]
    score = min(scores) if scores else None
    pieces = first.pieces + second.pieces
    return Detection(first.name, enclosing_box(corners), place, score, pieces)
