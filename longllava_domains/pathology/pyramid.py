"""`SlidePyramid`: an opened slide, its resolution, and its pixels at any resolution."""

import hashlib
import operator
import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self, get_args

from longllava_domains.errors import PolicyError
from longllava_domains.load_report import LoadReport
from longllava_domains.pathology.reading import choose_level, read_box
from longllava_domains.pathology.regions import Geojson, Origin, Region, read_region
from longllava_domains.pathology.slide_source import Box, Damaged, Level, Rgb, SlideSource
from longllava_domains.provenance import Provenance
from longllava_domains.units import GIB, MIB, did_you_mean

_MAX_PIXELS: Final = 400_000_000
_MAX_ENLARGED: Final = 4.0
# Larger files are told apart by their views; hashing 150 GB takes longer than reading the slide.
_MAX_HASHED: Final = GIB


class SlidePyramid:
    """An opened slide without views; a context manager that closes its files.

    All places are level-0 pixels of the whole slide, whatever was scanned of it.

    Args:
        source: Where pixels come from.
        mpp: Microns per pixel of level 0.
        report: What was found on opening.
        bounds: Scanned part of level 0; None where all of it is.
        files: Local files, for the checksum.
    """

    def __init__(
        self,
        source: SlideSource,
        mpp: float,
        report: LoadReport,
        bounds: Box | None = None,
        files: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.mpp = mpp
        self._report = report
        self._files = tuple(files)
        self._counts: Counter[str] = Counter()
        self._closed = False
        self.bounds = bounds or Box(0, 0, *self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close files; sequences and views made before stay usable."""
        self._closed = True
        self.source.close()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of level 0, pixels."""
        level = self.source.levels[0]
        return level.width, level.height

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions stored in the file, level 0 first."""
        return self.source.levels

    @property
    def report(self) -> LoadReport:
        """Report of what was found on opening, and of what was met while reading so far."""
        return self._report.with_({**self.source.counts(), **self._counts})

    def read(
        self, x: int, y: int, width: int, height: int, *, mpp: float, damaged: Damaged = "refuse"
    ) -> Rgb:
        """Read a box at a resolution.

        The coarsest level that is fine enough is read and averaged by area to exactly the
        resolution asked for; where nothing finer is stored, up to 4 times, it is enlarged.

        Args:
            x: Left edge, level-0 pixels.
            y: Top edge, level-0 pixels.
            width: Level-0 pixels.
            height: Level-0 pixels.
            mpp: Microns per pixel wanted.
            damaged: ``"refuse"`` a box with a tile that cannot be decoded, or ``"mark"`` such
                tiles in one colour (`slide_source.DAMAGED_RGB`) and count them in `report`.

        Returns:
            RGB uint8 (rows, columns, 3), with round(width * slide.mpp / mpp) columns and likewise
            rows, one at least. White where nothing was scanned, or outside the slide.

        Raises:
            PolicyError: A box without size or wholly outside the slide, a resolution over 4 times
                finer than the slide's, over 400 million pixels, or a closed slide.
            DamagedInputError: A tile cannot be decoded.
        """
        if self._closed:
            raise PolicyError(
                "The slide is closed.",
                remedy="Open it again; views made before stay usable.",
                code="slide.closed",
            )
        _require_way(damaged)
        box = _whole_numbers(x, y, width, height)
        self._require_inside(box)
        shrink = self._shrink(mpp)
        columns = max(1, round(box.width * self.mpp / mpp))
        rows = max(1, round(box.height * self.mpp / mpp))
        if columns * rows > _MAX_PIXELS:
            raise PolicyError(
                f"This would be an image of {columns} x {rows} pixels.",
                remedy="Read a smaller box, or at a larger mpp.",
                code="slide.too_large",
                facts={"columns": columns, "rows": rows},
            )
        if shrink < 1:
            self._counts["read.enlarged"] += 1
        return read_box(self.source, box, (columns, rows), self.level_for(mpp), damaged)

    def level_for(self, mpp: float) -> int:
        """Return which level is read for a resolution."""
        return choose_level(self.source.levels, mpp / self.mpp)

    def region(self, geojson: Geojson, *, origin: Origin | None = None) -> Region:
        """Read the polygons of a GeoJSON file or document, as QuPath and TRIDENT write them.

        Args:
            geojson: A path, or the document; level-0 pixels.
            origin: Where (0, 0) lies: the ``"slide"``'s corner, or the corner of its ``"bounds"``
                (QuPath, where a slide has bounds). Needed where the two differ.

        Raises:
            NotFoundError: There is no such file.
            DamagedInputError: It is no GeoJSON with polygons.
            AmbiguousInputError: The slide has bounds, and no origin was named.
            PolicyError: The polygons lie outside the slide.
        """
        return read_region(geojson, self.size, self.bounds, origin)

    @cached_property
    def input_sha256(self) -> str | None:
        """SHA-256 of the file; None for folders, and beyond 1 GiB."""
        if len(self._files) != 1 or os.path.getsize(self._files[0]) > _MAX_HASHED:
            return None
        digest = hashlib.sha256()
        with open(self._files[0], "rb") as file:
            while block := file.read(4 * MIB):
                digest.update(block)
        return digest.hexdigest()

    @property
    def provenance(self) -> Provenance:
        """Record of the slide: numbers, decisions and a checksum; no name, no label."""
        known: dict[str, Any] = {}
        if self.input_sha256 is not None:
            known["input_sha256"] = self.input_sha256
        return Provenance(
            domain="pathology",
            source_kind="slide",
            size=list(self.size),
            load_report=self.report.to_json(),
            **known,
        )

    def _shrink(self, mpp: float) -> float:
        """Return level-0 pixels to a pixel wanted."""
        good = isinstance(mpp, (int, float)) and not isinstance(mpp, bool)
        if not good or not 0 < mpp < float("inf"):
            raise PolicyError(
                "mpp must be a number of microns per pixel above 0.",
                remedy=f"The slide itself has {self.mpp:.4g}.",
                code="slide.mpp_wanted",
            )
        shrink = mpp / self.mpp
        if shrink < 1 / _MAX_ENLARGED * (1 - 1e-9):
            raise PolicyError(
                f"{mpp:.4g} microns per pixel is over {_MAX_ENLARGED:g} times finer than the slide.",
                remedy=f"The slide itself has {self.mpp:.4g}: nothing finer was scanned.",
                code="slide.enlarged",
                facts={"mpp": float(mpp), "slide_mpp": self.mpp},
            )
        return float(shrink)

    def _require_inside(self, box: Box) -> None:
        width, height = self.size
        if box.width < 1 or box.height < 1:
            raise PolicyError(
                f"A box of {box.width} x {box.height} pixels has no area.",
                remedy="Pass a width and a height of at least 1, in level-0 pixels.",
                code="slide.empty_box",
            )
        right, bottom = box.x + box.width, box.y + box.height
        if right <= 0 or bottom <= 0 or box.x >= width or box.y >= height:
            raise PolicyError(
                f"The box lies outside the slide, which has {width} x {height} pixels.",
                remedy="Pass x, y, width and height in level-0 pixels.",
                code="slide.outside",
                facts={"x": box.x, "y": box.y, "slide_width": width, "slide_height": height},
            )
        if box.x < 0 or box.y < 0 or right > width or bottom > height:
            self._counts["read.beyond_edge"] += 1


def _require_way(damaged: object) -> None:
    ways = get_args(Damaged)
    if damaged not in ways:
        raise PolicyError(
            f"Damaged tiles are not read the way {damaged!r}.",
            remedy=f"{did_you_mean(damaged, ways)}Use one of {', '.join(ways)}.",
            code="slide.damaged_tiles",
        )


def _whole_numbers(*values: object) -> Box:
    try:
        x, y, width, height = (operator.index(value) for value in values)  # type: ignore[arg-type]
    except TypeError:
        raise PolicyError(
            "x, y, width and height must be whole numbers.",
            remedy="Pass level-0 pixels; only mpp may have a fraction.",
            code="slide.box",
        ) from None
    return Box(x, y, width, height)
