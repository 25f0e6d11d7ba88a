"""PathVQA: 32,795 questions about 4,289 pathology figures, in the two layouts it is passed on in.

- ``qas/{train,val,test}_vqa.pkl`` of the authors, with ``images/{train,val,test}/*.jpg``.
- ``{train,validation,test}-*.parquet`` of the Hugging Face hub. Some images are CMYK.
"""

from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.pictures import ImageFile
from longllava_domains.adapters.data.readers.llava import text_field, with_leading_tags
from longllava_domains.adapters.data.readers.tables import (
    first_present,
    parts_of,
    read_parquet,
    read_pickle,
)
from longllava_domains.adapters.data.readers.vqa_rad import vqa_sample
from longllava_domains.adapters.data.records import TableRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import Terms, TrainingData
from longllava_domains.errors import NotFoundError, PolicyError

SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}
TERMS: Final = Terms("MIT", "PathVQA: figures are from textbooks; their copyright stays there.")


def read_path_vqa(folder: Path, split: str = "train") -> TrainingData:
    """Read one split of a PathVQA folder, whatever its layout.

    Raises:
        PolicyError: There is no such split.
        NotFoundError: The folder holds neither layout.
        DamagedInputError: A table cannot be read.
    """
    if split not in SPLITS:
        raise PolicyError(
            "PathVQA has no split of that name.",
            remedy=f"Use one of {', '.join(SPLITS)}.",
            code="training.configuration",
        )
    parts = tuple(parts_of(folder, SPLITS[split]))
    pickled = first_present(folder, (f"qas/{split}_vqa.pkl", f"{split}_vqa.pkl"))
    if parts:
        rows = [
            row for part in parts for row in read_parquet(part, ("question", "answer"), "image")
        ]

        def from_table(row: Any, key: str) -> Sample:
            return vqa_sample(row, key, folder)

        return TrainingData("PathVQA", TableRecords(parts, rows), from_table, "all", TERMS)
    if pickled is None:
        raise NotFoundError(
            "The folder holds no PathVQA.",
            remedy="It needs qas/train_vqa.pkl with images/, or train-*.parquet.",
            code="training.file",
        )

    def from_pickle(row: Any, key: str) -> Sample:
        return _sample(row, key, folder / "images")

    records = TableRecords((pickled,), read_pickle(pickled))
    return TrainingData("PathVQA", records, from_pickle, "all", TERMS)


def _sample(row: Any, key: str, images: Path) -> Sample:
    """Read a row of the authors: ``sent`` is the question, ``label`` the answer with score 1."""
    question = text_field(row, "sent")
    labels = row.get("label")
    if not isinstance(labels, dict) or not labels:
        raise RowError("no_answer")
    answer = str(max(labels, key=lambda text: labels[text]))
    stem = Path(text_field(row, "img_id")).name
    name = f"{stem.partition('_')[0]}/{stem}.jpg"
    facts = {field: str(row[field]) for field in ("answer_type", "question_type") if row.get(field)}
    rounds = ((with_leading_tags(question, 1), answer),)
    return Sample(key, rounds, (ImageFile(images / name, name),), facts=facts)
