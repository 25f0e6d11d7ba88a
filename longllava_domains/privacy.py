"""Libraries that log file names and header values, kept quiet and counted while we call them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = ("rasterio._env", "rasterio._err", "rasterio._io", "tifffile")


class _Hush(logging.Filter):
    """Drops and counts the records of threads that are inside `quiet`; lets all others pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record may be seen."""
        counts: list[int] = getattr(self.inside, "counts", [])
        for level in range(len(counts)):
            counts[level] += record.levelno >= logging.WARNING
        return not counts


_HUSH: Final = _Hush()


@contextmanager
def quiet() -> Iterator["Warned"]:
    """Keep rasterio's and tifffile's loggers quiet in this thread; count their warnings.

    GDAL's warnings repeat the name of the file and the tags they are about. A log must not hold
    those, and a library must not print them; that there were warnings goes into the report.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HUSH)  # adding it again changes nothing
    counts: list[int] = getattr(_HUSH.inside, "counts", [])
    _HUSH.inside.counts = counts
    counts.append(0)
    warned = Warned()
    try:
        yield warned
    finally:
        warned.count = counts.pop()


class Warned:
    """How many warnings there were, known once `quiet` has ended."""

    count = 0
