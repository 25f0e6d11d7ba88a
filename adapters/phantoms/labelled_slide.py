"""Slides that never were: islands of four tissues on glass, with mitosis-like figures, and questions."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from longllava_domains.adapters.phantoms.seeds import chance_of
from longllava_domains.arguments import checked

Split = Literal["train", "held-out"]
Question = tuple[str, str]

TISSUES: Final = ("stroma", "adenocarcinoma", "necrosis", "adipose tissue")
MPP: Final = 0.5
_GLASS: Final = (243, 240, 243)
_BASE: Final[dict[str, tuple[int, int, int]]] = {
    "stroma": (229, 160, 196),
    "adenocarcinoma": (190, 130, 190),
    "necrosis": (212, 178, 178),
    "adipose tissue": (226, 150, 190),
}
_SIZES_PX: Final[dict[Split, tuple[tuple[int, int], ...]]] = {
    "train": ((448, 336), (336, 448), (560, 336)),
    "held-out": ((504, 336), (392, 392), (448, 392)),
}
_LARGEST_LEAD: Final = 1.25  # the largest tissue is that much larger than the second


@dataclass(frozen=True)
class LabelledSlide:
    """A slide that knows what lies on it.

    Attributes:
        rgb: uint8 (rows, columns, 3) at `MPP` microns per pixel.
        tissue: int8 (rows, columns), number in `TISSUES`, -1 for glass.
        pieces: Separate pieces of tissue.
        mitoses: (column, row) of each mitosis-like figure.
    """

    rgb: NDArray[np.uint8]
    tissue: NDArray[np.int8]
    pieces: int
    mitoses: tuple[tuple[float, float], ...]

    def questions(self) -> dict[str, list[Question]]:
        """Return questions with answers: of the ``"whole"`` slide, and of its ``"detail"``."""
        areas = [int((self.tissue == number).sum()) for number in range(len(TISSUES))]
        whole = [("How many pieces of tissue are on this slide?", str(self.pieces))]
        first, second = sorted(areas)[::-1][:2]
        if first > _LARGEST_LEAD * second:
            largest = TISSUES[int(np.argmax(areas))]
            whole.append(("Which tissue covers the largest part of this slide?", largest))
        detail = [
            (f"Is there {name} on this slide?", "Yes" if area else "No")
            for name, area in zip(TISSUES, areas, strict=True)
        ]
        detail.append(("Is there a mitosis on this slide?", "Yes" if self.mitoses else "No"))
        return {"whole": whole, "detail": detail}


def slide_split(seed: int) -> Split:
    """Return the split that a seed belongs to: one in eight is held out, by its hash."""
    digest = hashlib.sha256(f"slide phantom {seed}".encode()).digest()
    return "held-out" if digest[0] < 32 else "train"


@checked
def labelled_slide(seed: int) -> LabelledSlide:
    """Draw a slide; everything follows from its seed, see `slide_split`."""
    chance = chance_of(20260903, seed)
    sizes = _SIZES_PX[slide_split(seed)]
    width, height = sizes[int(chance.integers(0, len(sizes)))]
    pieces = int(chance.integers(1, 4))
    tissue = np.full((height, width), -1, np.int8)
    for number in range(pieces):
        _lay_piece(tissue, number, pieces, chance)
    picture, mitoses = _stained(tissue, chance)
    return LabelledSlide(picture, tissue, pieces, tuple(mitoses))


def _lay_piece(
    tissue: NDArray[np.int8], number: int, pieces: int, chance: np.random.Generator
) -> None:
    """Lay one wavy island in its own part of the glass."""
    height, width = tissue.shape
    across = width >= height
    long_side, short_side = (width, height) if across else (height, width)
    along = long_side * (number + 0.5) / pieces
    aside = short_side * float(chance.uniform(0.42, 0.58))
    reach_along = float(chance.uniform(0.28, 0.42)) * long_side / pieces
    reach_aside = float(chance.uniform(0.2, 0.34)) * short_side
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    a, b = (columns, rows) if across else (rows, columns)
    turn = np.arctan2(b - aside, a - along)
    wave = 1 + 0.08 * np.sin(3 * turn + chance.uniform(0, 6)) + 0.05 * np.sin(5 * turn)
    inside = ((a - along) / reach_along) ** 2 + ((b - aside) / reach_aside) ** 2 <= wave**2
    tissue[inside] = int(chance.integers(0, len(TISSUES)))


def _stained(
    tissue: NDArray[np.int8], chance: np.random.Generator
) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """Paint every tissue with what a microscope shows of it, and figures of division in tumour."""
    height, width = tissue.shape
    shade = chance.normal(0, 5, 3)
    layers = {
        number: _texture(name, (width, height), shade, chance)
        for number, name in enumerate(TISSUES)
        if (tissue == number).any()
    }
    painted = np.broadcast_to(np.array(_GLASS, np.uint8), (height, width, 3)).copy()
    for number, layer in layers.items():
        painted[tissue == number] = layer[tissue == number]
    picture = Image.fromarray(painted)
    mitoses: list[tuple[float, float]] = []
    places = np.argwhere(tissue == TISSUES.index("adenocarcinoma"))
    if len(places) and chance.random() < 0.5:
        pen = ImageDraw.Draw(picture)
        for row, column in places[chance.integers(0, len(places), int(chance.integers(2, 6)))]:
            _draw_mitosis(pen, float(column), float(row), chance)
            mitoses.append((float(column), float(row)))
    soft = picture.filter(ImageFilter.GaussianBlur(0.6))
    noise = chance.normal(0, 2, (height, width, 1))
    return np.clip(np.asarray(soft, np.float32) + noise, 0, 255).astype(np.uint8), mitoses


def _draw_mitosis(
    pen: ImageDraw.ImageDraw, x: float, y: float, chance: np.random.Generator
) -> None:
    """Draw two dark plates in a pale cell."""
    pen.ellipse((x - 13, y - 13, x + 13, y + 13), fill=(236, 205, 226))
    turn = float(chance.uniform(0, np.pi))
    ahead, aside = (np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))
    for side in (-4.5, 4.5):
        middle = x + side * ahead[0], y + side * ahead[1]
        ends = [
            (middle[0] + reach * aside[0], middle[1] + reach * aside[1]) for reach in (-8.0, 8.0)
        ]
        pen.line(ends, fill=(30, 8, 60), width=5)


def _texture(
    name: str, size: tuple[int, int], shade: NDArray[np.float64], chance: np.random.Generator
) -> NDArray[np.uint8]:
    """Return one tissue over the whole picture."""
    width, height = size
    base = tuple(int(c) for c in np.clip(np.array(_BASE[name]) + shade, 0, 255))
    picture = Image.new("RGB", size, base)
    pen = ImageDraw.Draw(picture)
    count = width * height
    if name == "stroma":
        for x, y, turn in _scatter(count // 500, size, chance):
            ends = (
                x - 12 * np.cos(turn),
                y - 5 * np.sin(turn),
                x + 12 * np.cos(turn),
                y + 5 * np.sin(turn),
            )
            pen.line(ends, fill=(205, 120, 170), width=2)
        for x, y, _ in _scatter(count // 2500, size, chance):
            pen.ellipse((x - 5, y - 1.5, x + 5, y + 1.5), fill=(90, 60, 140))
    elif name == "adenocarcinoma":
        for x, y, turn in _scatter(count // 170, size, chance):
            r = 3.5 + 1.5 * np.sin(turn)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(84, 48, 132))
        for x, y, _ in _scatter(count // 7000, size, chance):
            pen.ellipse(
                (x - 9, y - 9, x + 9, y + 9), fill=(246, 236, 244), outline=(84, 48, 132), width=4
            )
    elif name == "necrosis":
        for x, y, turn in _scatter(count // 350, size, chance):
            r = 1.5 + abs(np.sin(turn))
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(150, 110, 130))
    else:
        for x, y, turn in _scatter(count // 330, size, chance):
            r = 13 + 4 * np.sin(turn)
            pen.ellipse(
                (x - r, y - r, x + r, y + r), fill=(247, 243, 247), outline=(214, 120, 170), width=2
            )
    return np.asarray(picture)


def _scatter(
    number: int, size: tuple[int, int], chance: np.random.Generator
) -> NDArray[np.float64]:
    """Return (number, 3): columns, rows and angles."""
    return np.asarray(chance.uniform((0, 0, 0), (*size, 2 * np.pi), (number, 3)))
