"""One picture of a whole sequence, labelled, so that a person can check what the model sees."""

import math

from PIL import Image, ImageDraw, ImageFont

from longllava_domains.errors import PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.visual.place import MapPlace, Place, SlicePlace
from longllava_domains.visual.sequence import View, VisualSequence

_BACKGROUND = (24, 24, 24)
_INK = (235, 235, 235)
_LABEL_PX = 16
_GAP_PX = 4
# Beyond this Pillow itself warns of a decompression bomb when the sheet is opened again.
_MAX_PIXELS = 89_000_000


def contact_sheet(
    sequence: VisualSequence, *, columns: int | None = None, cell_px: int = 224
) -> Image.Image:
    """Draw every view of a sequence in order, left to right, with its place below it.

    Labels hold positions and window names only: nothing of a patient. The notice of research use
    stands at the foot. A sequence with the layout ``grid`` keeps its rows and columns, with the
    global view above them.

    Args:
        sequence: What to draw.
        columns: Views in a row; by default as wide as high, or the grid's own.
        cell_px: Longer side of a view on the sheet; smaller views are not enlarged.

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
    width = max(max(picture.width for picture in thumbnails), 96) + _GAP_PX
    height = max(picture.height for picture in thumbnails) + _LABEL_PX + _GAP_PX
    cells = [0] + [position + lead for position in range(1, len(sequence))]
    font = ImageFont.load_default(size=11)
    foot = (cells[-1] // across + 1) * height + _GAP_PX
    notice_px = math.ceil(font.getlength(RESEARCH_NOTICE)) + 2 * _GAP_PX
    size = (max(across * width + _GAP_PX, notice_px), foot + _LABEL_PX)
    if size[0] * size[1] > _MAX_PIXELS:
        raise PolicyError(
            f"A contact sheet of {len(sequence)} views would be {size[0]} x {size[1]} pixels.",
            remedy="Choose fewer views or a smaller cell_px.",
            code="sheet.size",
        )
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX, foot + 1), RESEARCH_NOTICE, fill=_INK, font=font)
    for cell, view, picture in zip(cells, sequence, thumbnails, strict=True):
        left = _GAP_PX + cell % across * width
        top = _GAP_PX + cell // across * height
        sheet.paste(picture, (left, top))
        below, side = top + picture.height + 1, 0
        if isinstance(view.place, SlicePlace):
            side = _mark_sides(draw, font, left, below, picture.width)
        text = _fitting(label(view.place), font, width - _GAP_PX - 2 * side)
        draw.text((left + side, below), text, fill=_INK, font=font)
    return sheet


def label(place: Place) -> str:
    """Say in a few characters where a view lies: ``"z -132.5 mm  lung"``."""
    if isinstance(place, SlicePlace):
        made_up = "  (synthetic)" if place.synthetic else ""
        return f"z {place.z_mm:.1f} mm  {place.window}{made_up}"
    if isinstance(place, MapPlace):
        return f"{place.role}  {place.column:.0f},{place.row:.0f}  {place.width:.0f}x{place.height:.0f}"
    return f"{place.x},{place.y}  {place.mpp:.3g} um/px"


def _mark_sides(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    left: int, top: int, width: int,
) -> int:  # fmt: skip
    """Write R and L below the edges of a slice, and return what they take from its label.

    The patient's right is on the left of every view.
    """
    side = math.ceil(font.getlength("R")) + 2 * _GAP_PX
    draw.text((left, top), "R", fill=_INK, font=font)
    draw.text((left + width - math.ceil(font.getlength("L")), top), "L", fill=_INK, font=font)
    return side


def _thumbnail(view: View, cell_px: int) -> Image.Image:
    picture = Image.fromarray(view.pixels)
    picture.thumbnail((cell_px, cell_px), Image.Resampling.BICUBIC)
    return picture


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a label to the width of its cell."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1].rstrip()
    return text
