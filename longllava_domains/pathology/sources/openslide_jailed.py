"""`JailedSlide`: a slide that a child process has open with OpenSlide."""

import atexit
import os
from collections import Counter
from typing import Any, Final

import numpy as np

from longllava_domains.errors import DamagedInputError
from longllava_domains.formats.decoding.document import ask_document
from longllava_domains.formats.decoding.jail import CAN_JAIL, Jail
from longllava_domains.formats.decoding.job import DecodingJob
from longllava_domains.formats.regular_file import open_regular, stamp_of
from longllava_domains.pathology.mpp import MppEvidence
from longllava_domains.pathology.slide_source import (
    DAMAGED_RGB,
    Box,
    Damaged,
    Level,
    Rgb,
    damaged_tile,
)
from longllava_domains.pathology.sources import openslide as here
from longllava_domains.units import GIB, MIB

_WORKER: Final = "longllava_domains.pathology.sources.openslide_worker"
_CPU_SECONDS: Final = 30.0
_LIMIT_BYTES: Final = GIB
_BYTES_PER_PIXEL: Final = 32
_PIECE_PIXELS: Final = 16 * MIB
_JAIL: Final = Jail(_CPU_SECONDS, _WORKER)
atexit.register(_JAIL.close)


class JailedSlide:
    """A slide opened by OpenSlide in a child process; answers as `OpenSlideSource` does.

    Args:
        path: The file.

    Raises:
        UnsupportedInputError: OpenSlide knows no such format.
        DamagedInputError: It knows the format, and cannot open the file; or it crashed or hung.
        NotFoundError: Nothing is there.
        OSError: It cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        with open_regular(path) as file:
            self._stamp = str(stamp_of(file))
        self._damaged: dict[tuple[int, Box], int] = {}
        said = _ask("describe", self._path, self._stamp)
        try:
            self._describe(said)
        except (LookupError, TypeError, ValueError):
            raise here.damaged_slide() from None

    def _describe(self, said: dict[str, Any]) -> None:
        self.levels = tuple(
            Level(int(width), int(height), (float(x), float(y)))
            for width, height, x, y in said["levels"]
        )
        self.vendor = str(said["vendor"])
        self.has_icc = bool(said["has_icc"])
        self.withheld = int(said["withheld"])
        self.mpp_evidence = tuple(
            MppEvidence("openslide_mpp", float(x), float(y)) for x, y in said["mpp"]
        )
        power = said["objective_power"]
        self.objective_power = None if power is None else float(power)
        self.bounds = Box(*map(int, said["bounds"]))

    def read(self, level: int, box: Box, damaged: Damaged = "refuse") -> Rgb:
        """Read a box of level pixels that lies inside the level; see `SlideSource.read`."""
        out = np.empty((box.height, box.width, 3), np.uint8)
        rows = max(1, _PIECE_PIXELS // box.width)
        for top in range(0, box.height, rows):
            piece = Box(box.x, box.y + top, box.width, min(rows, box.height - top))
            out[top : top + piece.height] = self._read(level, piece, damaged)
        return out

    def _read(self, level: int, box: Box, damaged: Damaged) -> Rgb:
        place = [int(value) for value in box]
        mark = int(damaged == "mark")
        arguments: tuple[str | int, ...] = (self._path, self._stamp, level, *place, mark)
        shape = (box.height, box.width, 3)
        try:
            pixels, marked = _JAIL.run(
                DecodingJob("read", b"", arguments, shape, np.uint8, memory_bytes=_memory(box))
            )
        except DamagedInputError as error:
            if error.code == "input.changed":
                raise
            self._damaged[level, box] = 1
            if damaged == "refuse":
                raise damaged_tile(level) from None
            return np.full(shape, DAMAGED_RGB, np.uint8)  # it crashed, hung or ran out of memory
        if marked:
            self._damaged[level, box] = marked
        return pixels

    def counts(self) -> Counter[str]:
        """Return how many pieces could not be read."""
        total = sum(self._damaged.values())
        return Counter({"tiles.damaged": total} if total else {})

    def header(self) -> Any:
        """Return None: OpenSlide hands no DICOM header on; see `SlideSource.header`."""
        return None

    def close(self) -> None:
        """Do nothing: the child closes what has not been used for long."""


def open_with_openslide(path: str) -> "JailedSlide | here.OpenSlideSource":
    """Open a slide with OpenSlide, in a child process where there can be one."""
    return JailedSlide(path) if CAN_JAIL else here.OpenSlideSource(path)


def detect_format(path: str) -> str | None:
    """Return OpenSlide's name of a file's format, None where it knows none, or came to harm."""
    if not CAN_JAIL:
        return here.detect_format(path)
    try:
        found = _ask("detect", os.path.abspath(path)).get("format")
    except DamagedInputError:
        return None
    return None if found is None else str(found)


def has_scanner(path: str) -> bool:
    """Return True if OpenSlide knows the file as a scanner's own, not merely as a tiled TIFF."""
    return detect_format(path) not in (None, "generic-tiff")


def _ask(task: str, *arguments: str) -> dict[str, Any]:
    job = DecodingJob(task, b"", arguments, (0,), np.uint8, memory_bytes=_LIMIT_BYTES)
    return ask_document(_JAIL, job)


def _memory(box: Box) -> int:
    return _LIMIT_BYTES + _BYTES_PER_PIXEL * box.width * box.height
