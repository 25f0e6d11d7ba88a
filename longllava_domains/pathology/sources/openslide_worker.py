"""The child process in which OpenSlide opens what only it reads: facts and pixels out.

    python -P -m longllava_domains.pathology.sources.openslide_worker MEMORY

See `formats.decoding.worker` for the frame around it. Slides stay open between requests.
"""

import sys
from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.formats.decoding.document import answer_document
from longllava_domains.formats.decoding.worker import serve
from longllava_domains.formats.dicom.source_file import changed
from longllava_domains.formats.regular_file import open_regular, stamp_of
from longllava_domains.pathology.slide_source import Box
from longllava_domains.pathology.sources.openslide import OpenSlideSource, detect_format

_KEPT: Final = 8
_open: OrderedDict[tuple[str, str], OpenSlideSource] = OrderedDict()


def detect(_: bytes, path: str, room: int) -> tuple[NDArray[np.uint8], int]:
    """Say in which of OpenSlide's formats a file is."""
    return answer_document({"format": detect_format(path)}, room)


def describe(_: bytes, path: str, stamp: str, room: int) -> tuple[NDArray[np.uint8], int]:
    """Say everything that is asked of a slide beside its pixels."""
    slide = _slide(path, stamp)
    return answer_document(
        {
            "levels": [(level.width, level.height, *level.downsample) for level in slide.levels],
            "vendor": slide.vendor,
            "has_icc": slide.has_icc,
            "withheld": slide.withheld,
            "mpp": [(evidence.x, evidence.y) for evidence in slide.mpp_evidence],
            "objective_power": slide.objective_power,
            "bounds": tuple(slide.bounds),
        },
        room,
    )


def read(
    _: bytes, path: str, stamp: str, level: int, x: int, y: int, width: int, height: int, mark: int
) -> tuple[NDArray[Any], int]:
    """Read a box; also say how many damaged pieces are marked in it."""
    slide = _slide(path, stamp)
    pixels = slide.read(level, Box(x, y, width, height), "mark" if mark else "refuse")
    marked = slide.counts()["tiles.damaged"]
    slide.forget_damage()
    return pixels, marked


def _slide(path: str, stamp: str) -> OpenSlideSource:
    with open_regular(path) as file:
        if str(stamp_of(file)) != stamp:
            raise changed("a slide")
    key = (path, stamp)
    if key not in _open:
        _open[key] = OpenSlideSource(path)
    _open.move_to_end(key)
    while len(_open) > _KEPT:
        _open.popitem(last=False)[1].close()
    return _open[key]


def _load() -> None:
    import openslide  # noqa: F401


if __name__ == "__main__":
    serve(int(sys.argv[1]), {"detect": detect, "describe": describe, "read": read}, _load)
