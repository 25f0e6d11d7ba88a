"""Flat pictures, PNG and JPEG: 8-bit RGB as a person would see it, or a named refusal."""

import io
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.formats.regular_file import BadDocumentError, read_bounded
from longllava_domains.privacy import silenced
from longllava_domains.units import MIB

_MOST_BYTES: Final = 256 * MIB
_MOST_PIXELS: Final = 64 * 2**20
_FORMATS: Final = ("PNG", "JPEG")
_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA")
# What Pillow raises for bytes that are no image or cut short.
_PILLOW_ERRORS: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def read_picture(path: str) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Read a PNG or JPEG.

    Turned as its EXIF says, transparent parts on white. Nothing else of its metadata is looked at,
    and nothing is kept.

    Args:
        path: The file.

    Returns:
        uint8 (rows, columns, 3), and what was done, as codes for a load report.

    Raises:
        NotFoundError: Nothing there, or it cannot be read.
        UnsupportedInputError: Another format, more than 8 bits, CMYK, several frames, or over 67
            million pixels.
        DamagedInputError: It cannot be decoded, or was cut short.
    """
    if os.path.isdir(path):
        raise NotFoundError(
            "A folder was given where a picture is meant.",
            remedy="Name a picture in it; longllava ask takes several, one after the other.",
            code="picture.folder",
        )
    try:
        data = read_bounded(path, _MOST_BYTES)
    except BadDocumentError:
        raise _unsupported("it has over 256 MiB") from None
    except OSError:
        raise NotFoundError(
            "There is no readable file at this path.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None
    try:
        with silenced(), Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            _require_usual(picture)
            picture.load()
            return _rgb(picture)
    except UnidentifiedImageError:
        raise _unsupported("it is no PNG and no JPEG, or is cut short") from None
    except _PILLOW_ERRORS:
        raise DamagedInputError(
            "The picture cannot be decoded: it is damaged or cut short.",
            remedy="Copy or export it again.",
            code="picture.damaged",
        ) from None


def _require_usual(picture: Image.Image) -> None:
    if picture.width * picture.height > _MOST_PIXELS:
        raise _unsupported(f"it has {picture.width} x {picture.height} pixels")
    if getattr(picture, "n_frames", 1) > 1:
        raise _unsupported("it has several frames")
    if picture.mode not in _MODES:
        kind = {"CMYK": "CMYK colours", "I;16": "16 bits", "I": "more than 8 bits"}
        raise _unsupported(f"it has {kind.get(picture.mode, 'an unusual kind of pixel')}")


def _rgb(picture: Image.Image) -> tuple[NDArray[np.uint8], dict[str, int]]:
    codes = {f"picture.{(picture.format or '').lower()}": 1}
    turned = ImageOps.exif_transpose(picture)
    if turned.size != picture.size or picture.getexif().get(0x0112, 1) != 1:
        codes["picture.turned"] = 1
    if "transparency" in turned.info or turned.mode in ("RGBA", "LA"):
        codes["picture.on_white"] = 1
        coloured = turned.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        turned = Image.alpha_composite(white, coloured)
    return np.asarray(turned.convert("RGB")), codes


def _unsupported(found: str) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"This is no picture that is shown as it is: {found}.",
        remedy="Export it as an 8-bit PNG or JPEG in RGB or grey; slides, DICOM and rasters have "
        "their own pipelines.",
        code="picture.kind",
    )
