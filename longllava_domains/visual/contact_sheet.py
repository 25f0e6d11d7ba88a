"""One picture of a whole sequence, labelled, so that a person can check what the model sees."""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from longllava_domains.errors import PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE, SCENE_NOTICE
from longllava_domains.visual.place import ImagePlace, MapPlace, Place, SlicePlace
from longllava_domains.visual.view import View

_BACKGROUND = (24, 24, 24)
_INK = (235, 235, 235)
_LABEL_PX = 16
_GAP_PX = 4
_NORTH_PX = 30
# Beyond this Pillow itself warns of a decompression bomb when the sheet is opened again.
_MAX_PIXELS = 89_000_000


class Views(Protocol):
    """Interface of what can be drawn: `VisualSequence` is one."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the tiles; None where views do not form a grid."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[View]: ...


def contact_sheet(
    sequence: Views,
    *,
    columns: int | None = None,
    cell_px: int = 224,
    captions: Sequence[str] = (),
    title: str = "",
) -> Image.Image:
    """Draw every view of a sequence in order, left to right, with its place below it.

    Labels hold positions and window names only. The notice of research use stands at the foot. A sequence with the layout ``grid`` keeps its rows and columns, with the
    global view above them.

    Args:
        sequence: What to draw.
        columns: Views in a row; by default as wide as high, or the grid's own.
        cell_px: Longer side of a view on the sheet; smaller views are not enlarged.
        captions: Stands in front of the place of each view, such as a share of attention.
        title: Stands above all views, such as the finding that they are about.

    Returns:
        An RGB image.

    Raises:
        PolicyError: Columns or a cell size below 1, or a sheet above 89 million pixels.
    """
    grid = sequence.grid
    across = columns or (grid[1] if grid else math.ceil(math.sqrt(len(sequence))))
    if across < 1 or cell_px < 1:
        raise PolicyError(
            "A contact sheet needs at least one column and one pixel.",
            remedy="Pass columns and cell_px of at least 1.",
            code="sheet.size",
        )
    # The global view of a grid stands alone in the first row.
    lead = across - 1 if grid and columns is None else 0
    thumbnails = [_thumbnail(view, cell_px) for view in sequence]
    font = ImageFont.load_default(size=11)
    texts = _texts(sequence, captions)
    wide = [_caption_px(v.place, text, font) for v, text in zip(sequence, texts, strict=True)]
    is_below = any(map(_is_too_wide, sequence, thumbnails, wide))
    width = max(*(picture.width for picture in thumbnails), *wide, 96) + _GAP_PX
    height = max(picture.height for picture in thumbnails) + _LABEL_PX * (1 + is_below) + _GAP_PX
    cells = [0] + [position + lead for position in range(1, len(sequence))]
    head = _LABEL_PX if title else 0
    foot = head + (cells[-1] // across + 1) * height + _GAP_PX
    lines = ((_GAP_PX, title), (foot + 1, _notice(sequence)))
    lines_px = math.ceil(max(font.getlength(line) for _, line in lines)) + 2 * _GAP_PX
    size = (max(across * width + _GAP_PX, lines_px), foot + _LABEL_PX)
    sheet = _blank(size, len(sequence))
    draw = ImageDraw.Draw(sheet)
    for at, line in lines:
        draw.text((_GAP_PX, at), line, fill=_INK, font=font)
    for cell, view, picture, text in zip(cells, sequence, thumbnails, texts, strict=True):
        left = _GAP_PX + cell % across * width
        top = head + _GAP_PX + cell // across * height
        sheet.paste(picture, (left, top))
        below = left, top + picture.height + 1
        _draw_caption(draw, view.place, text, below, picture.width, font, is_below=is_below)
    return sheet


def _is_too_wide(view: View, picture: Image.Image, caption_px: int) -> bool:
    """Return whether words do not fit between R and L, which stand below the edges of a slice."""
    return isinstance(view.place, SlicePlace) and caption_px > picture.width


def _blank(size: tuple[int, int], views: int) -> Image.Image:
    if size[0] * size[1] > _MAX_PIXELS:
        raise PolicyError(
            f"A contact sheet of {views} views would be {size[0]} x {size[1]} pixels.",
            remedy="Choose fewer views or a smaller cell_px.",
            code="sheet.size",
        )
    return Image.new("RGB", size, _BACKGROUND)


def _texts(sequence: Views, captions: Sequence[str]) -> list[str]:
    """Return the line below each view."""
    texts = [label(view.place) for view in sequence]
    if not captions:
        return texts
    return [f"{said}  {text}" for said, text in zip(captions, texts, strict=True)]


def _draw_caption(
    draw: ImageDraw.ImageDraw, place: Place, text: str, at: tuple[int, int], width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *, is_below: bool,
) -> None:  # fmt: skip
    """Write the line below a view, with the patient's sides or the arrow to the north."""
    left, below = at
    side = _mark_sides(draw, font, left, below, width) if isinstance(place, SlicePlace) else 0
    side, under = (0, below + _LABEL_PX) if is_below else (side, below)
    draw.text((left + side, under), text, fill=_INK, font=font)
    if isinstance(place, MapPlace) and place.north_deg is not None:
        right = left + math.ceil(font.getlength(text))
        _draw_north(draw, right, below, place.north_deg, font)


def _notice(sequence: Views) -> str:
    on_map = all(isinstance(view.place, MapPlace) for view in sequence)
    return SCENE_NOTICE if on_map else RESEARCH_NOTICE


def label(place: Place) -> str:
    """Say in a few characters where a view lies: ``"z -132.5 mm  lung"``."""
    if isinstance(place, SlicePlace):
        made_up = "  (synthetic)" if place.synthetic else ""
        return f"z {place.z_mm:.1f} mm  {place.window}{made_up}"
    if isinstance(place, MapPlace):
        parts = [place.role, f"{place.column:.0f},{place.row:.0f}"]
        parts.append(f"{place.width:.0f}x{place.height:.0f} px")
        if place.resolution_m is not None:  # of the view's pixels, not of the raster's
            parts.append(f"shown at {place.resolution_m:.3g} m/px")
        if place.acquired is not None:
            parts.append(place.acquired)
        return "  ".join(parts)
    if isinstance(place, ImagePlace):
        return f"{place.width}x{place.height}"
    return f"{place.x},{place.y}  {place.mpp:.3g} um/px"


def _mark_sides(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    left: int, top: int, width: int,
) -> int:  # fmt: skip
    """Write R and L below the edges of a slice, and return the width that each takes.

    The patient's right is on the left of every view.
    """
    side = _side_px(font)
    draw.text((left, top), "R", fill=_INK, font=font)
    draw.text((left + width - math.ceil(font.getlength("L")), top), "L", fill=_INK, font=font)
    return side


def _thumbnail(view: View, cell_px: int) -> Image.Image:
    picture = Image.fromarray(view.pixels)
    picture.thumbnail((cell_px, cell_px), Image.Resampling.BICUBIC)
    return picture


def _caption_px(place: Place, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    """Return the width of a caption, the north arrow beside it included."""
    beside = 2 * _side_px(font) if isinstance(place, SlicePlace) else 0
    if isinstance(place, MapPlace) and place.north_deg is not None:
        beside = _NORTH_PX
    return math.ceil(font.getlength(text)) + beside


def _side_px(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    """Return the width that R or L takes beside a caption."""
    return math.ceil(font.getlength("R")) + 2 * _GAP_PX


def _draw_north(
    draw: ImageDraw.ImageDraw,
    left: int,
    top: int,
    north_deg: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw an arrow that points north in the view, and an N beside it."""
    centre_x, centre_y, reach = left + 10, top + 7, 6
    x, y = math.sin(math.radians(north_deg)), -math.cos(math.radians(north_deg))
    tip = (centre_x + reach * x, centre_y + reach * y)
    wings = [(centre_x + reach * (s * 0.6 * y - 0.7 * x), centre_y + reach * (-s * 0.6 * x - 0.7 * y))
             for s in (1, -1)]  # fmt: skip
    draw.polygon([tip, wings[0], wings[1]], fill=_INK)
    draw.text((centre_x + reach + 3, top), "N", fill=_INK, font=font)
