"""Slides that only OpenSlide reads: NDPI, MRXS, SCN, BIF, Philips and others."""

import threading
from collections import Counter
from typing import Any, Final

import numpy as np
from PIL import Image

from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError
from longllava_domains.pathology.mpp import MppEvidence, number
from longllava_domains.pathology.slide_source import (
    DAMAGED_RGB,
    Box,
    Damaged,
    Level,
    Rgb,
    damaged_tile,
    make_levels,
)

# A box with a damaged tile is cut in four until the pieces are this small.
_SMALLEST: Final = 256
_SIZE_TOLERANCE: Final = 0.02


class OpenSlideSource:
    """A slide opened by OpenSlide; transparent parts are white.

    Args:
        path: The file.

    Raises:
        UnsupportedInputError: OpenSlide knows no such format.
        DamagedInputError: It knows the format, and cannot open the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._slide = _open(path)
        self._turn = threading.Lock()
        self._damaged: set[tuple[int, Box]] = set()
        sizes = self._slide.level_dimensions
        factors = self._slide.level_downsamples
        if not sizes or min(sizes[0]) < 1:
            raise damaged_slide()
        self._factors = tuple(float(factor) for factor in factors)
        self.levels = tuple(
            _level(size, factor, by_size)
            for size, factor, by_size in zip(
                sizes, self._factors, make_levels(list(sizes)), strict=True
            )
        )

    @property
    def vendor(self) -> str:
        """OpenSlide's name of the format."""
        return str(self._slide.properties.get("openslide.vendor", "unknown"))

    @property
    def has_icc(self) -> bool:
        """True where the slide carries a colour profile."""
        return "openslide.icc-size" in self._slide.properties

    @property
    def withheld(self) -> int:
        """Associated images: label, macro, thumbnail; never read."""
        return sum(
            key.startswith("openslide.associated.") and key.endswith(".width")
            for key in self._slide.properties
        )

    @property
    def mpp_evidence(self) -> tuple[MppEvidence, ...]:
        """Evidence for the resolution that OpenSlide found."""
        x, y = (number(self._slide.properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        return () if x is None or y is None else (MppEvidence("openslide_mpp", x, y),)

    @property
    def objective_power(self) -> float | None:
        """Objective power by the header: a hint."""
        return number(self._slide.properties.get("openslide.objective-power"))

    @property
    def bounds(self) -> Box:
        """The part of level 0 that was scanned."""
        properties = self._slide.properties
        names = [f"openslide.bounds-{name}" for name in ("x", "y", "width", "height")]
        full = self.levels[0]
        try:
            x, y, width, height = (int(properties[name]) for name in names)
        except (KeyError, ValueError):
            return Box(0, 0, full.width, full.height)
        left, top = max(0, x), max(0, y)
        right, bottom = min(full.width, x + width), min(full.height, y + height)
        if right <= left or bottom <= top:
            return Box(0, 0, full.width, full.height)
        return Box(left, top, right - left, bottom - top)

    def read(self, level: int, box: Box, damaged: Damaged = "refuse") -> Rgb:
        """Read a box of level pixels that lies inside the level; see `SlideSource.read`."""
        try:
            return self._read(level, box)
        except DamagedInputError:
            if damaged == "refuse":
                self._damaged.add((level, box))
                raise
        if max(box.width, box.height) <= _SMALLEST:
            self._damaged.add((level, box))
            return np.full((box.height, box.width, 3), DAMAGED_RGB, np.uint8)
        out = np.empty((box.height, box.width, 3), np.uint8)
        half = Box(0, 0, -(-box.width // 2), -(-box.height // 2))
        for top, high in ((0, half.height), (half.height, box.height - half.height)):
            for left, wide in ((0, half.width), (half.width, box.width - half.width)):
                if high and wide:
                    piece = Box(box.x + left, box.y + top, wide, high)
                    out[top : top + high, left : left + wide] = self.read(level, piece, damaged)
        return out

    def counts(self) -> Counter[str]:
        """Return how many pieces could not be read."""
        return Counter({"tiles.damaged": len(self._damaged)} if self._damaged else {})

    def header(self) -> Any:
        """Return None: OpenSlide hands no DICOM header on; see `SlideSource.header`."""
        return None

    def forget_damage(self) -> None:
        """Begin to count anew."""
        self._damaged.clear()

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _read(self, level: int, box: Box) -> Rgb:
        import openslide

        factor = self._factors[level]
        place = (round(box.x * factor), round(box.y * factor))
        slide = self._slide
        try:
            picture = slide.read_region(place, level, (box.width, box.height))
        except openslide.OpenSlideError:
            # After an error OpenSlide refuses every further read of the same handle.
            with self._turn:
                if self._slide is slide:
                    self._slide = _open(self._path)
            raise damaged_tile(level) from None
        return _on_white(picture)


def _level(size: tuple[int, int], factor: float, by_size: Level) -> Level:
    """Return a level with its true factor.

    OpenSlide takes it from the format where that says one, and it is whole; else from the sizes,
    whose last pixels are cut: 4.0057 where the scanner shrank by 4.
    """
    close = all(abs(other - factor) < _SIZE_TOLERANCE * factor for other in by_size.downsample)
    if factor != round(factor) and close:
        return by_size
    return Level(size[0], size[1], (factor, factor))


def _on_white(picture: Image.Image) -> Rgb:
    """Return RGB, with what is transparent on white (as plain alpha, OpenSlide's Python gives)."""
    image = np.asarray(picture)
    alpha = image[..., 3:]
    if bool((alpha == 255).all()):
        return np.ascontiguousarray(image[..., :3])
    plain = image[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha.astype(np.uint16))
    composed: Rgb = ((plain + 127) // 255).astype(np.uint8)
    return composed


def detect_format(path: str) -> str | None:
    """Return OpenSlide's name of a file's format, None where it knows none."""
    import openslide

    try:
        found = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return None if found is None else str(found)


def _open(path: str) -> Any:
    import openslide

    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        raise UnsupportedInputError(
            "The file is in no slide format that is read.",
            remedy="Use SVS, NDPI, MRXS, SCN, BIF, DICOM, tiled TIFF or OME-TIFF; export others.",
            code="slide.format",
        ) from None
    except openslide.OpenSlideError:
        raise damaged_slide() from None
    except OSError:
        raise NotFoundError(
            "The slide cannot be read.",
            remedy="Check that the path exists and that you may read it.",
            code="input.unreadable",
        ) from None


def damaged_slide() -> DamagedInputError:
    """Return the error for a slide that cannot be opened though its format is known."""
    return DamagedInputError(
        "OpenSlide knows the format of the slide, and cannot open it.",
        remedy="The file is truncated, damaged, or lacks its companion files: copy it again.",
        code="slide.damaged",
    )
