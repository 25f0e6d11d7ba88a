"""FIT-RSFG, FIT-RSRC and HRBEN: the question files of SkySenseGPT, as its release lays them out."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import DamagedInputError
from longllava_domains.evaluate.datasets.dataset import Dataset, Rows, first_file, not_found
from longllava_domains.evaluate.fit_rsfg import hrben_references
from longllava_domains.evaluate.fit_rsfg.rows import TURN_OF
from longllava_domains.evaluate.predictions import read_table

LICENCE: Final = "CC BY-NC 4.0 (FIT-RS); images of STAR and RSVQA under their own terms"

_BENCH: Final = "FIT-RSFG-Bench"
_FILES: Final[Mapping[str, str]] = {
    "fit-rsfg/vqa": "test_FITRS_vqa_eval.jsonl",
    "fit-rsfg/classification": "test_FITRS_imageclassify_eval.jsonl",
    "fit-rsfg/image-caption": "test_FITRS_image_caption_eval.jsonl",
    "fit-rsfg/region-caption": "test_FITRS_region_caption_eval.jsonl",
    "fit-rsfg/complex": "test_FITRS_complex_comprehension_eval.jsonl",
    "fit-rsrc": "FIT-RSRC_Questions_2k.jsonl",
}
_PLACES: Final = (f"FIT-RSFG/{_BENCH}/", f"{_BENCH}/", "FIT-RSRC/", "")
_HRBEN: Final = ("Eval/HRBEN/", "FIT-RSFG/Eval/HRBEN/", "HRBEN/", "")
_PHILI: Final = "USGS_split_test_phili_{}.json"


def load_fit_rsfg(benchmark: str, folder: Path) -> Dataset:
    """Read the questions of one task.

    Args:
        benchmark: One of the remote sensing benchmarks.
        folder: The release's root, or the folder of the question files.

    Raises:
        NotFoundError: The file of that task is not there.
        DamagedInputError: Rows lack an id, an image, a question or the truth.
    """
    if benchmark == "hrben":
        rows = _hrben(folder)
    else:
        name = _FILES[benchmark]
        found = first_file(folder, [f"{place}{name}" for place in _PLACES])
        if found is None:
            raise not_found(benchmark, name)
        rows = tuple(_row(row) for row in read_table(found).rows)
    wanted = ("question_id", "image_id", "question", "ground_truth")
    lacking = [name for name in wanted if not rows or any(row.get(name) is None for row in rows)]
    if lacking:
        raise DamagedInputError(
            f"The questions of {benchmark} lack {', '.join(lacking)}.",
            remedy="Give the file of the release, with the truths in it.",
            code="fit_rsfg.questions",
        )
    rows, repeated = _with_own_ids(rows)
    # In FIT-RSRC they shall repeat, once for each order of the options.
    is_odd = repeated and benchmark != "fit-rsrc"
    notes = (f"{repeated} ids repeat; rows are told apart by their place",) if is_odd else ()
    return Dataset(benchmark, "release", {"test": rows}, LICENCE, notes)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row under the names of the answer files; the prompt stands under one of two names."""
    named = {name: row[name] for name in ("question_id", "category", "ground_truth") if name in row}
    return {
        **named,
        "image_id": row.get("image", row.get("image_id")),
        "question": row.get("text", row.get("question")),
    }


def _hrben(folder: Path) -> Rows:
    files = [
        first_file(folder, [f"{place}{_PHILI.format(kind)}" for place in _HRBEN])
        for kind in ("questions", "answers")
    ]
    questions, answers = files
    if questions is None or answers is None:
        raise not_found("HRBEN", " and ".join(_PHILI.format(k) for k in ("questions", "answers")))
    truths = {str(row["question_id"]): dict(row) for row in hrben_references(questions, answers)}
    # hrben.jsonl, where it is there, says how the questions are put and where their images lie.
    put = first_file(folder, [f"{place}hrben.jsonl" for place in _PLACES])
    asked = {} if put is None else {
        str(row.get("question_id")): _row(row) for row in read_table(put).rows
    }  # fmt: skip
    return tuple(
        {**row, **{key: value for key, value in asked.get(name, {}).items() if value is not None}}
        for name, row in truths.items()
    )


def _with_own_ids(rows: Rows) -> tuple[Rows, int]:
    """Give rows whose id repeats one of their own, and keep the one that they share."""
    counts = Counter(str(row["question_id"]) for row in rows)
    repeated = sum(count for count in counts.values() if count > 1)
    if not repeated:
        return rows, 0
    numbered = tuple(
        {**row, TURN_OF: str(row["question_id"]), "question_id": f"{row['question_id']}/{place}"}
        for place, row in enumerate(rows)
    )
    return numbered, repeated
