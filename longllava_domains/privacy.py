"""Libraries that log or warn with file names, URLs and header values, silenced while we call them.

Python's loggers and warning filters belong to the process: whoever saves and restores them spoils
another thread's. So one logging filter and one warning filter stay installed, and each asks
whether *this thread* is inside `silenced`.
"""

import logging
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

_FAMILIES: Final = (
    "dicomweb_client",
    "highdicom",
    "huggingface_hub",
    "nibabel",
    "peft",
    "PIL",
    "pydicom",
    "pynetdicom",
    "pystac",
    "pystac_client",
    "rasterio",
    "requests",
    "tifffile",
    "urllib3",
)


class Silenced:
    """Number of log records of level warning or above."""

    count = 0


class _Silencer(logging.Filter):
    """Drops what threads inside `silenced` log and warn; lets all else pass."""

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()
        self._lock = threading.Lock()
        self._everywhere: Counter[str] = Counter()
        self._loggers = 0

    @property
    def levels(self) -> list[Silenced]:
        """The `silenced` blocks that this thread is in, outermost first."""
        found: list[Silenced] = self._here.__dict__.setdefault("levels", [])
        return found

    def install(self) -> None:
        """Stand in every logger of the families and in front of all warning filters."""
        known = logging.Logger.manager.loggerDict
        if len(known) != self._loggers:
            self._loggers = len(known)
            for name in [*known, *_FAMILIES]:
                if _family(name) in _FAMILIES:
                    logging.getLogger(name).addFilter(self)  # again changes nothing
        filters: Any = warnings.filters
        if not filters or filters[0] is not _WARNING_FILTER:
            filters.insert(0, _WARNING_FILTER)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record may be seen."""
        for level in self.levels:
            level.count += record.levelno >= logging.WARNING
        return not (self.levels or self._everywhere[_family(record.name)])

    def match(self, _text: str) -> bool:
        """Return whether a warning is to be ignored; called as a compiled pattern would be."""
        return bool(self.levels)

    @contextmanager
    def everywhere(self, family: str | None) -> Iterator[None]:
        """Silence a family's loggers in every thread: it works in threads of its own."""
        if family is None:
            yield
            return
        with self._lock:
            self._everywhere[family] += 1
        try:
            yield
        finally:
            with self._lock:
                self._everywhere[family] -= 1


def _family(logger: str) -> str:
    return logger.partition(".")[0]


_SILENCER: Final = _Silencer()
# An entry as `warnings` keeps them: action, pattern of the text, category, module, line. Python
# asks the pattern by its `match`, in the thread that warns.
_WARNING_FILTER: Final = ("ignore", _SILENCER, Warning, None, 0)


@contextmanager
def silenced(*, everywhere: str | None = None) -> Iterator[Silenced]:
    """Keep third-party log lines and warnings of this thread from being seen; count them.

    What a library says repeats names, links and values of the file at hand. A log must not hold
    those, and a library must not print them; that there were some goes into reports.

    Args:
        everywhere: A package, such as ``"pynetdicom"``, whose loggers are silenced in all threads
            while the block runs, because it logs from threads of its own.

    Yields:
        The count of log records, complete once the block has ended.
    """
    if everywhere is not None:
        import_module(everywhere)  # loggers that do not exist yet could not be silenced
    _SILENCER.install()
    level = Silenced()
    with _SILENCER.everywhere(everywhere):
        _SILENCER.levels.append(level)
        try:
            yield level
        finally:
            _SILENCER.levels.remove(level)
