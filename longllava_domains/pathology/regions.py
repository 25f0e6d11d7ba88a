"""Regions of a slide as people draw them: boxes and GeoJSON polygons in level-0 pixels."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from longllava_domains.errors import (
    AmbiguousInputError,
    DamagedInputError,
    NotFoundError,
    PolicyError,
)
from longllava_domains.pathology.slide_source import Box

Geojson = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any]
Origin = Literal["slide", "bounds"]
Ring = tuple[tuple[float, float], ...]

CUT_NOTICE: Final = "A region reaches beyond the slide: the part inside is shown."
_MAX_BYTES: Final = 512 * 2**20


@dataclass(frozen=True)
class Region:
    """A part of a slide.

    Attributes:
        box: Its bounding box, level-0 pixels, inside the slide.
        polygons: Outer ring and holes of each polygon, level-0 pixels; empty for a plain box.
        cut: True where what was asked for reaches beyond the slide.
    """

    box: Box
    polygons: tuple[tuple[Ring, ...], ...] = ()
    cut: bool = field(default=False, compare=False)

    def draw(
        self, origin: tuple[float, float], cell: float, shape: tuple[int, int]
    ) -> NDArray[Any]:
        """Return bool (rows, columns): the cells whose centres the region covers.

        Args:
            origin: Level-0 place of the first cell's corner.
            cell: Level-0 pixels to a cell.
            shape: (rows, columns).
        """
        if not self.polygons:
            rows = origin[1] + (np.arange(shape[0]) + 0.5) * cell
            columns = origin[0] + (np.arange(shape[1]) + 0.5) * cell
            box = self.box
            inside_y = (rows >= box.y) & (rows < box.y + box.height)
            inside_x = (columns >= box.x) & (columns < box.x + box.width)
            return np.asarray(inside_y[:, None] & inside_x[None, :])
        covered = np.zeros(shape, np.bool_)
        for rings in self.polygons:
            picture = Image.new("L", (shape[1], shape[0]), 0)
            draw = ImageDraw.Draw(picture)
            for position, ring in enumerate(rings):
                # Pillow's pixel (0, 0) has its centre at (0, 0).
                points = [
                    ((x - origin[0]) / cell - 0.5, (y - origin[1]) / cell - 0.5) for x, y in ring
                ]
                draw.polygon(points, fill=0 if position else 1)
            covered |= np.asarray(picture, np.bool_)
        return covered

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON; polygons as their number, so that no drawing is repeated."""
        return {"box": list(self.box), "polygons": len(self.polygons)}


def box_region(box: Sequence[int], size: tuple[int, int]) -> Region:
    """Return a box, cut to the slide, as a region.

    Raises:
        PolicyError: It is no box, or lies outside the slide.
    """
    values = tuple(box)
    if len(values) != 4 or not all(isinstance(value, (int, np.integer)) for value in values):
        raise PolicyError(
            "A region is x, y, width and height in whole level-0 pixels.",
            remedy="Pass four whole numbers, or what Slide.region returned.",
            code="slide.region",
        )
    x, y, width, height = (int(value) for value in values)
    left, top = max(0, x), max(0, y)
    right, bottom = min(size[0], x + width), min(size[1], y + height)
    if right <= left or bottom <= top:
        raise PolicyError(
            f"A region lies outside the slide, which has {size[0]} x {size[1]} pixels.",
            remedy="Pass places in level-0 pixels of this slide.",
            code="slide.outside",
        )
    cut = (left, top, right, bottom) != (x, y, x + width, y + height)
    return Region(Box(left, top, right - left, bottom - top), cut=cut)


def read_region(
    geojson: Geojson, size: tuple[int, int], bounds: Box, origin: Origin | None
) -> Region:
    """Read polygons; see `Slide.region`."""
    if origin is None and bounds != Box(0, 0, *size):
        raise AmbiguousInputError(
            "Only a part of this slide was scanned, and programs count from different corners.",
            remedy='Pass origin="slide" (whole slide, as OpenSlide counts) or origin="bounds" '
            "(scanned part, as QuPath counts).",
            code="slide.origin",
        )
    if origin not in (None, "slide", "bounds"):
        raise PolicyError(
            "There is no such origin.", remedy='Pass "slide" or "bounds".', code="slide.origin"
        )
    dx, dy = (bounds.x, bounds.y) if origin == "bounds" else (0, 0)
    polygons = tuple(_polygons(_load(geojson), dx, dy))
    if not polygons:
        raise _no_polygons()
    points = np.array([point for rings in polygons for point in rings[0]])
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    width, height = high - low
    whole = box_region((int(low[0]), int(low[1]), int(width), int(height)), size)
    # A line drawn along the border, or half a pixel beyond it, is meant to be at the border.
    cut = bool((low < -1).any() or (high > np.add(size, 1)).any())
    return Region(whole.box, polygons, cut)


def _load(geojson: Geojson) -> Any:
    if not isinstance(geojson, (str, os.PathLike)):
        return geojson
    try:
        place = Path(geojson)
        if place.stat().st_size > _MAX_BYTES:
            raise _no_polygons()
        return json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise _no_polygons() from None
        raise NotFoundError(
            "The GeoJSON file cannot be read.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None
    except RecursionError:
        raise _no_polygons() from None


def _polygons(node: Any, dx: int, dy: int, depth: int = 0) -> Iterator[tuple[Ring, ...]]:
    """Yield every polygon of a feature collection, feature, geometry, or list of features."""
    if depth > 8:
        raise _no_polygons()
    if isinstance(node, (list, tuple)):  # older QuPath exports are a bare list of features
        for item in node:
            yield from _polygons(item, dx, dy, depth + 1)
        return
    if not isinstance(node, Mapping):
        raise _no_polygons()
    kind = node.get("type")
    if kind == "FeatureCollection":
        yield from _polygons(node.get("features", ()), dx, dy, depth + 1)
    elif kind == "Feature":
        yield from _polygons(node.get("geometry"), dx, dy, depth + 1)
    elif kind == "GeometryCollection":
        yield from _polygons(node.get("geometries", ()), dx, dy, depth + 1)
    elif kind == "Polygon":
        yield _rings(node.get("coordinates"), dx, dy)
    elif kind == "MultiPolygon" and isinstance(node.get("coordinates"), (list, tuple)):
        for coordinates in node["coordinates"]:
            yield _rings(coordinates, dx, dy)
    else:  # points and lines have no area
        raise _no_polygons()


def _rings(coordinates: Any, dx: int, dy: int) -> tuple[Ring, ...]:
    try:
        rings = tuple(
            tuple((float(point[0]) + dx, float(point[1]) + dy) for point in ring)
            for ring in coordinates
        )
    except (TypeError, ValueError, IndexError, KeyError):
        raise _no_polygons() from None
    finite = all(
        math.isfinite(value) and abs(value) < 1e9 for ring in rings for p in ring for value in p
    )
    if not rings or not finite or any(len(ring) < 3 for ring in rings):
        raise _no_polygons()
    return rings


def _no_polygons() -> DamagedInputError:
    return DamagedInputError(
        "This is no GeoJSON with polygons in it.",
        remedy="Export annotations as Polygon or MultiPolygon features, in level-0 pixels.",
        code="slide.geojson",
    )
