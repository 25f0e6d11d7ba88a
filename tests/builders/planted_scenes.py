"""Scenes with bright squares at known places, and a scripted model that boxes what is bright."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine

from longllava_domains.answer import Answer
from longllava_domains.boxes import Box, Dialect, enclosing_box, write_boxes
from longllava_domains.provenance import Provenance

SIDE = 12
NOTHING = "I'm sorry, I cannot answer as the given image does not contain any given objects."
# Pixel corners of planted squares: alone, in the overlap of two chips, of four, at an edge.
SQUARES = [(40, 60), (445, 200), (500, 450), (900, 640), (460, 640), (230, 455)]
WIDTH, HEIGHT = 924, 700


class Seer:
    """Boxes every bright square it sees, as a perfect model would."""

    def __init__(self, dialect: Dialect = "fit-rs") -> None:
        self.dialect = dialect
        self.questions: list[str] = []

    def answer(self, sequence, question, *, max_new_tokens=0) -> Answer:
        self.questions.append(question)
        self.most_tokens = max_new_tokens
        (view,) = sequence
        found = bright_boxes(view.pixels)
        text = NOTHING
        if found:
            text = f"There are {len(found)} ships in the image: " + write_boxes(
                found, dialect=self.dialect
            )
        made = Provenance(model="scripted", demo=True, datetime="2024-05-01")
        return Answer(text, provenance=made)


def bright_boxes(pixels) -> list[Box]:
    """Return the smallest box around each bright patch, per cent of the view."""
    bright = pixels[..., 0] > 200
    scale = 100 / len(pixels)
    found = []
    while bright.any():
        patch, frontier = [], [tuple(np.argwhere(bright)[0])]
        while frontier:
            row, column = frontier.pop()
            if not bright[row, column]:
                continue
            bright[row, column] = False
            patch += [(x, y) for x in (column, column + 1) for y in (row, row + 1)]
            around = ((row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column))
            inside = ((y, x) for y, x in around if 0 <= y < len(bright) and 0 <= x < len(bright))
            frontier += [place for place in inside if bright[place]]
        hull = shapely.MultiPoint(patch).convex_hull.exterior.coords[:-1]
        found.append(enclosing_box([(x * scale, y * scale) for x, y in hull]))
    return found


def picture() -> np.ndarray:
    """Return a noisy uint8 (3, HEIGHT, WIDTH) picture with the squares in it."""
    values = np.random.default_rng(7).integers(20, 90, (3, HEIGHT, WIDTH), np.uint8)
    for column, row in SQUARES:
        values[:, row : row + SIDE, column : column + SIDE] = 255
    return values


def affine_scene(transform: Affine, crs: str) -> Callable[[Path, np.ndarray], Callable]:
    def write(path, values) -> Any:
        with rasterio.open(
            path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8",
            crs=crs, transform=transform,
        ) as file:  # fmt: skip
            file.write(values)
        to_lonlat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform
        a, b, c, d, e, f = transform[:6]
        return lambda x, y: to_lonlat(a * x + b * y + c, d * x + e * y + f)

    return write


def control_point_scene(path, values) -> Any:
    """Twenty points on a gently bent sheet over Lake Geneva, in degrees."""

    def lonlat(column, row) -> Any:
        bend = 1e-9 * (column - WIDTH / 2) * (row - HEIGHT / 2)
        return 6.5 + 9e-6 * column + 1e-6 * row + bend, 46.4 - 6e-6 * row + 1e-6 * column + bend

    points = [
        GroundControlPoint(row, column, *lonlat(column, row))
        for column in np.linspace(0, WIDTH, 5)
        for row in np.linspace(0, HEIGHT, 4)
    ]
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype="uint8",
    ) as file:  # fmt: skip
        file.gcps = (points, CRS.from_epsg(4326))
        file.write(values)
    return lonlat


SCENES = {
    "affine": affine_scene(Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), "EPSG:32631"),
    "rotated": affine_scene(Affine(0.4, 0.3, 360_000, 0.3, -0.4, 4_000_000), "EPSG:32618"),
    "south-up": affine_scene(Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), "EPSG:32631"),
    "antimeridian": affine_scene(Affine(0.5, 0, 736_150, 0, -0.5, 5_000_000), "EPSG:32660"),
    "control points": control_point_scene,
}
