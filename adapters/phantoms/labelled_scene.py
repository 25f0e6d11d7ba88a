"""Aerial scenes that never were: objects of four kinds on four kinds of ground, with boxes and questions."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from longllava_domains.adapters.phantoms.seeds import chance_of
from longllava_domains.arguments import checked
from longllava_domains.boxes.geometry import Box
from longllava_domains.boxes.text import write_boxes

Split = Literal["train", "held-out"]
Question = tuple[str, str]

OBJECTS: Final = ("ship", "plane", "storage tank", "building")
GROUNDS: Final[dict[str, tuple[int, int, int]]] = {
    "water": (38, 74, 112),
    "desert": (206, 178, 130),
    "forest": (44, 84, 44),
    "concrete": (150, 150, 150),
}
_SIZES_PX: Final[dict[Split, tuple[int, ...]]] = {
    "train": (224, 288, 336),
    "held-out": (256, 304, 320),
}
_MOST_OBJECTS: Final = 4


@dataclass(frozen=True)
class PlantedObject:
    """An object of a scene.

    Attributes:
        name: One of `OBJECTS`.
        box_px: Left, top, right and bottom edge, pixels.
    """

    name: str
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelledScene:
    """A scene that knows what stands in it.

    Attributes:
        rgb: uint8 (rows, columns, 3).
        ground: One of `GROUNDS`.
        objects: From top to bottom, then from left to right.
    """

    rgb: NDArray[np.uint8]
    ground: str
    objects: tuple[PlantedObject, ...]

    def questions(self) -> list[Question]:
        """Return every question that the scene answers, with the answer."""
        counted = Counter(item.name for item in self.objects)
        asked = [("What is the ground of this scene?", self.ground)]
        for name in OBJECTS:
            asked.append((f"How many {name}s are in this scene?", str(counted[name])))
            asked.append((f"Is there a {name} in this scene?", "Yes" if counted[name] else "No"))
        single = [item for item in self.objects if counted[item.name] == 1]
        for one in single:
            for other in single:
                if one.name != other.name and (gap := _middle(one) - _middle(other)):
                    answer = "Yes" if gap < -0.05 * self.rgb.shape[1] else "No"
                    if abs(gap) > 0.05 * self.rgb.shape[1]:
                        asked.append((f"Is the {one.name} left of the {other.name}?", answer))
        return asked

    def boxes(self, name: str) -> list[Box]:
        """Return the boxes of one kind of object, per cent of the sides."""
        rows, columns = self.rgb.shape[:2]
        found = []
        for item in self.objects:
            if item.name == name:
                left, top, right, bottom = item.box_px
                centre = 50 * (left + right) / columns, 50 * (top + bottom) / rows
                sides = 100 * (right - left) / columns, 100 * (bottom - top) / rows
                found.append(Box.upright(*centre, *sides))
        return found

    def detection(self, name: str) -> str:
        """Return the FIT-RS answer to a request for all objects of a kind."""
        found = self.boxes(name)
        return write_boxes(found, name=name) if found else f"There are no {name}s."


def _middle(item: PlantedObject) -> float:
    return (item.box_px[0] + item.box_px[2]) / 2


def scene_split(seed: int) -> Split:
    """Return the split that a seed belongs to: one in eight is held out, by its hash."""
    digest = hashlib.sha256(f"scene phantom {seed}".encode()).digest()
    return "held-out" if digest[0] < 32 else "train"


@checked
def labelled_scene(seed: int) -> LabelledScene:
    """Draw a scene; everything follows from its seed, see `scene_split`."""
    chance = chance_of(20260902, seed)
    size = int(chance.choice(_SIZES_PX[scene_split(seed)]))
    ground = str(chance.choice(list(GROUNDS)))
    picture = _ground(ground, size, chance)
    objects: list[PlantedObject] = []
    for _ in range(int(chance.integers(0, _MOST_OBJECTS + 1))):
        name = str(chance.choice(OBJECTS))
        placed = _place(objects, size, chance)
        if placed is not None:
            objects.append(_draw(picture, name, placed, chance))
    soft = picture.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.2, 0.9))))
    noise = chance.normal(0, float(chance.uniform(1, 6)), (size, size, 1))
    rgb = np.clip(np.asarray(soft, np.float32) + noise, 0, 255).astype(np.uint8)
    ordered = sorted(objects, key=lambda item: (item.box_px[1], item.box_px[0]))
    return LabelledScene(rgb, ground, tuple(ordered))


def _ground(ground: str, size: int, chance: np.random.Generator) -> Image.Image:
    """Paint the ground: its colour, slow shades and a grain."""
    colour = np.array(GROUNDS[ground], np.float32) + chance.normal(0, 7, 3)
    slow = chance.normal(0, 1, (6, 6)).astype(np.float32)
    fine = chance.normal(0, 1, (size // 4, size // 4)).astype(np.float32)
    shades = [
        np.asarray(Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC))
        for field in (slow, fine)
    ]
    rough = {"forest": 12.0, "water": 3.0}.get(ground, 5.0)
    painted = colour + 7 * shades[0][..., None] + rough * shades[1][..., None]
    return Image.fromarray(np.clip(painted, 0, 255).astype(np.uint8))


def _place(
    objects: list[PlantedObject], size: int, chance: np.random.Generator
) -> tuple[float, float, float] | None:
    """Return centre and length of an object that touches no other; None where there is no room."""
    for _ in range(20):
        length = float(chance.uniform(0.2, 0.3)) * size
        x, y = chance.uniform(length * 0.55, size - length * 0.55, 2)
        reach = length * 0.55
        apart = all(
            x + reach < left or x - reach > right or y + reach < top or y - reach > bottom
            for left, top, right, bottom in (item.box_px for item in objects)
        )
        if apart:
            return float(x), float(y), length
    return None


_SHAPES: Final[dict[str, tuple[tuple[tuple[float, float], ...], ...]]] = {
    # Polygons in lengths of the object, along it and across it.
    "ship": (((-0.5, -0.17), (0.25, -0.17), (0.5, 0.0), (0.25, 0.17), (-0.5, 0.17)),),
    "plane": (
        ((-0.5, -0.05), (0.4, -0.05), (0.5, 0.0), (0.4, 0.05), (-0.5, 0.05)),
        ((-0.05, -0.45), (0.12, -0.05), (0.12, 0.05), (-0.05, 0.45), (-0.16, 0.45), (-0.1, 0.0), (-0.16, -0.45)),
        ((-0.5, -0.18), (-0.38, 0.0), (-0.5, 0.18)),
    ),
    "building": (((-0.45, -0.38), (0.45, -0.38), (0.45, 0.38), (-0.45, 0.38)),),
}  # fmt: skip
_COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "ship": (120, 40, 40),
    "plane": (235, 235, 240),
    "storage tank": (215, 215, 205),
    "building": (176, 92, 60),
}


def _draw(
    picture: Image.Image,
    name: str,
    placed: tuple[float, float, float],
    chance: np.random.Generator,
) -> PlantedObject:
    """Draw one object with its shadow or marks, and return its box."""
    x, y, length = placed
    pen = ImageDraw.Draw(picture)
    colour = tuple(
        int(c) for c in np.clip(np.array(_COLOURS[name]) + chance.normal(0, 10, 3), 0, 255)
    )
    if name == "storage tank":
        r = length * 0.42
        pen.ellipse((x - r + 3, y - r + 3, x + r + 3, y + r + 3), fill=(40, 40, 40))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        pen.ellipse(
            (x - r * 0.7, y - r * 0.7, x + r * 0.7, y + r * 0.7), outline=(120, 120, 120), width=2
        )
        return PlantedObject(name, (x - r, y - r, x + r, y + r))
    quarter = int(chance.integers(0, 4))
    cos, sin = (1, 0, -1, 0)[quarter], (0, 1, 0, -1)[quarter]
    corners: list[tuple[float, float]] = []
    for polygon in _SHAPES[name]:
        points = [
            (x + length * (u * cos - v * sin), y + length * (u * sin + v * cos)) for u, v in polygon
        ]
        pen.polygon(points, fill=colour)
        corners += points
    if name == "building":
        pen.line((corners[0], corners[2]), fill=(110, 50, 30), width=2)
    if name == "ship":
        r = length * 0.1
        pen.rectangle((x - r, y - r, x + r, y + r), fill=(240, 240, 240))
    xs, ys = [point[0] for point in corners], [point[1] for point in corners]
    return PlantedObject(name, (min(xs), min(ys), max(xs), max(ys)))
