"""`write_benchmark`: a small benchmark of phantoms in a real one's layout."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from longllava_domains.adapters.phantoms.benchmarks.ct_rate import write_ct_rate
from longllava_domains.adapters.phantoms.benchmarks.fit_rsfg import FIT_TASKS, write_fit_rsfg
from longllava_domains.adapters.phantoms.benchmarks.medical_vqa import write_path_vqa, write_vqa_rad
from longllava_domains.adapters.phantoms.benchmarks.slides import write_slide_questions
from longllava_domains.arguments import checked
from longllava_domains.errors import OutputError, PolicyError

_WRITERS: Final[Mapping[str, Callable[[Path, int], None]]] = MappingProxyType(
    {
        "vqa-rad": write_vqa_rad,
        "path-vqa": write_path_vqa,
        "ct-rate": write_ct_rate,
        "ct-rate/reports": write_ct_rate,
        "multipathqa": partial(write_slide_questions, "multipathqa"),
        "slidebench": partial(write_slide_questions, "slidebench"),
        **{name: partial(write_fit_rsfg, name) for name in FIT_TASKS},
    }
)
BENCHMARKS: Final = tuple(_WRITERS)
_MARK: Final = "SYNTHETIC.txt"
_SAID: Final = (
    "Phantoms made by longllava-domains. Nothing here is of a patient, a slide or a place, and no "
    "score on it is comparable with a published number.\n"
)


@checked
def write_benchmark(benchmark: str, folder: str | Path, *, size: int = 4) -> Path:
    """Write phantoms in the layout of a benchmark, marked as synthetic.

    The truths can be seen in the pictures, so a model could be right for the right reason.

    Args:
        benchmark: One of `BENCHMARKS`.
        folder: An empty or new folder.
        size: Images, patients or slides, 2 or more.

    Returns:
        The folder.

    Raises:
        PolicyError: There is no such benchmark, or fewer than two of a kind.
        OutputError: The folder holds something, or cannot be written.
    """
    if benchmark not in _WRITERS:
        raise PolicyError(
            f"There are no phantoms of {benchmark!r}.",
            remedy=f"Choose one of {', '.join(BENCHMARKS)}.",
            code="phantom.benchmark",
        )
    if size < 2:
        raise PolicyError(
            f"size cannot be {size}.",
            remedy="Give a whole number of at least 2.",
            code="phantom.size",
        )
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise OutputError(
                "The folder for the phantoms is not empty.",
                remedy="Name a new or empty folder.",
                code="phantom.folder",
            )
        (place / _MARK).write_text(_SAID)
        _WRITERS[benchmark](place, size)
    except OSError as error:
        raise OutputError(
            f"The phantoms cannot be written ({os.strerror(error.errno or 0)}).",
            remedy="Name a new folder, in a folder that you may write to, on a disk with space.",
            code="phantom.write",
        ) from None
    return place
