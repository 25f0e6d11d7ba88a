"""MultiPathQA and SlideBench: tables of questions about slides that lie elsewhere."""

from pathlib import Path
from typing import Final

from longllava_domains.evaluate.datasets.dataset import Dataset, first_file, not_found
from longllava_domains.evaluate.predictions import read_table

_FILES: Final = {
    "multipathqa": ("MultiPathQA.csv",),
    "slidebench": (
        "SlideBench-VQA-TCGA.csv", "SlideBench-VQA(TCGA).csv", "SlideBench-VQA-BCNB.csv",
        "SlideBench-VQA(BCNB).csv", "SlideBench.csv",
    ),
}  # fmt: skip
_LICENCES: Final = {
    "multipathqa": "questions as their card says; slides of TCGA, GTEx and PANDA under their own terms",
    "slidebench": "questions as their card says; slides of TCGA and BCNB under their own terms",
}


def load_slide_questions(benchmark: str, folder: Path) -> Dataset:
    """Read the table of questions.

    Args:
        benchmark: ``"multipathqa"`` or ``"slidebench"``.
        folder: With the table; the slides may lie anywhere below it.

    Raises:
        NotFoundError: The table is not there.
        DamagedInputError: It cannot be read.
    """
    found = first_file(folder, _FILES[benchmark])
    if found is None:
        raise not_found(benchmark, " or ".join(_FILES[benchmark]))
    # Rows of MultiPathQA have no id of their own: their place is one.
    rows = tuple(
        dict(row) if {"id", "ID", "question_id"} & row.keys() else {"id": str(place), **row}
        for place, row in enumerate(read_table(found).rows)
    )
    return Dataset(benchmark, found.stem, {"test": rows}, _LICENCES[benchmark])
