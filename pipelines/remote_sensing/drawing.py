"""Draw detections on a picture of their scene, so that a person can see what was found and missed."""

import math
import textwrap
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from longllava_domains.boxes import Point
from longllava_domains.remote_sensing.detections.detections import Detections
from longllava_domains.visual.strips import Rgb

DRAWN_PX: Final = 1600
"""Longer side of the scene in a drawing, at most; a smaller scene is enlarged by whole factors."""

_SMALL_SCENE_PX: Final = 640
_FOUND: Final = (255, 221, 51)
_UNREAD: Final = (255, 92, 92)
_HALO: Final = (0, 0, 0)
_BACKGROUND: Final = (24, 24, 24)
_INK: Final = (235, 235, 235)
_LINE_PX: Final = 16
_CAPTION_PX: Final = 480  # width that a caption has at least
# A box that is smaller than this on the drawing gets a ring around it.
_VISIBLE_PX: Final = 14


def draw_detections(found: Detections, picture: Rgb, told: str) -> Image.Image:
    """Draw every detection as its outline, and every part of the scene that was not read.

    Args:
        found: What was found, in pixels of the raster.
        picture: The whole raster, uint8 (H, W, 3), averaged down to this size.
        told: One line that says the result in words.

    Returns:
        An RGB image: the scene, and below it the result and its notices.
    """
    enlarged = max(1, _SMALL_SCENE_PX // max(picture.shape[:2]))
    scene = Image.fromarray(picture).resize(
        (picture.shape[1] * enlarged, picture.shape[0] * enlarged), Image.Resampling.NEAREST
    )
    scale_x, scale_y = scene.width / found.size[0], scene.height / found.size[1]
    draw = ImageDraw.Draw(scene)
    unread = [chip for chip in found.chips if chip.status == "failed"]
    for chip in unread:
        _outline(draw, [(x * scale_x, y * scale_y) for x, y in found.outline(chip)], _UNREAD)
    for detection in found.detections:
        corners = [(x * scale_x, y * scale_y) for x, y in detection.corners_pixel()]
        _outline(draw, corners, _FOUND)
        _ring_if_small(draw, corners)
    lines = [told, *found.notices]
    if unread:
        lines.insert(1, "Outlined in red: read without a usable answer.")
    return _captioned(scene, lines)


def _outline(draw: ImageDraw.ImageDraw, corners: list[Point], colour: tuple[int, int, int]) -> None:
    closed = [*corners, corners[0]]
    draw.line(closed, fill=_HALO, width=4)
    draw.line(closed, fill=colour, width=2)


def _ring_if_small(draw: ImageDraw.ImageDraw, corners: list[Point]) -> None:
    columns, rows = zip(*corners, strict=True)
    reach = math.hypot(max(columns) - min(columns), max(rows) - min(rows))
    if reach >= _VISIBLE_PX:
        return
    x, y = sum(columns) / len(columns), sum(rows) / len(rows)
    for grown, colour in ((1, _HALO), (0, _FOUND)):
        side = _VISIBLE_PX + grown
        draw.ellipse((x - side, y - side, x + side, y + side), outline=colour, width=2 + grown)


def _captioned(scene: Image.Image, lines: list[str]) -> Image.Image:
    """Put lines of text below a picture, broken where they would leave it."""
    font = ImageFont.load_default(size=12)
    width = max(scene.width, _CAPTION_PX)
    letters = max(20, int(width / font.getlength("n")) - 2)
    broken = [part for line in lines for part in textwrap.wrap(line, letters) or [""]]
    sheet = Image.new("RGB", (width, scene.height + _LINE_PX * (len(broken) + 1)), _BACKGROUND)
    sheet.paste(scene, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(broken):
        draw.text((6, scene.height + 6 + _LINE_PX * number), line, fill=_INK, font=font)
    return sheet
