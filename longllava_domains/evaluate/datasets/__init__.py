"""Benchmarks as they are distributed, from the user's own disk; nothing is fetched."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from longllava_domains.arguments import checked
from longllava_domains.errors import NotFoundError, PolicyError
from longllava_domains.evaluate.datasets.ct_rate import load_ct_rate, load_ct_rate_reports
from longllava_domains.evaluate.datasets.dataset import Dataset
from longllava_domains.evaluate.datasets.fit_rsfg import load_fit_rsfg
from longllava_domains.evaluate.datasets.path_vqa import load_path_vqa
from longllava_domains.evaluate.datasets.slides import load_slide_questions
from longllava_domains.evaluate.datasets.vqa_rad import load_vqa_rad
from longllava_domains.evaluate.fit_rsfg.scoring import SCORERS as FIT_RSFG

LOADERS: Final[Mapping[str, Callable[[Path], Dataset]]] = MappingProxyType(
    {
        "vqa-rad": load_vqa_rad,
        "path-vqa": load_path_vqa,
        "ct-rate": load_ct_rate,
        "ct-rate/reports": load_ct_rate_reports,
        **{name: partial(load_slide_questions, name) for name in ("multipathqa", "slidebench")},
        **{name: partial(load_fit_rsfg, name) for name in FIT_RSFG},
    }
)


@checked
def load_dataset(benchmark: str, folder: str | Path) -> Dataset:
    """Read a benchmark from a folder.

    Args:
        benchmark: Name in `PROTOCOLS`.
        folder: Where the user keeps it, as distributed.

    Raises:
        PolicyError: There is no loader for it.
        NotFoundError: The folder is not there, or holds none of the known layouts.
        DamagedInputError: A file of it cannot be read.
    """
    if benchmark not in LOADERS:
        raise PolicyError(
            f"There is no loader for {benchmark!r}.",
            remedy=f"Choose one of {', '.join(LOADERS)}, or give the references as a file.",
            code="evaluate.loader",
        )
    require_data(folder)
    return LOADERS[benchmark](Path(folder))


def require_data(folder: str | Path | None) -> None:
    """Refuse data of a benchmark that are not there.

    Args:
        folder: Where the user keeps them; None passes.

    Raises:
        NotFoundError: Nothing is there.
    """
    if folder is not None and not Path(folder).exists():
        raise NotFoundError(
            "The benchmark's data are not there: nothing has the name that was given as data.",
            remedy="Check the path, and give the folder of the benchmark as it was distributed.",
            code="evaluate.data",
        )


__all__ = ["LOADERS", "Dataset", "load_dataset", "require_data"]
