"""VQA-RAD: 3,515 questions about 315 radiology images, in the three layouts it is passed on in.

- ``VQA_RAD_Dataset_Public.json`` of the authors: all rows; test rows have a ``phrase_type`` that
  begins with ``test``.
- ``trainset.json`` and ``testset.json`` as MEVF prepared them (3,064 and 451 rows).
- ``train-*.parquet`` and ``test-*.parquet`` of the Hugging Face hub (1,793 and 451 rows).

All 203 test images occur in training, too; the check of the data says so.
"""

from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.pictures import ImageFile, Picture
from longllava_domains.adapters.data.readers.llava import text_field, with_leading_tags
from longllava_domains.adapters.data.readers.tables import (
    first_present,
    parts_of,
    read_json_list,
    read_parquet,
)
from longllava_domains.adapters.data.records import TableRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import Terms, TrainingData
from longllava_domains.errors import NotFoundError, PolicyError

TERMS: Final = Terms("CC0-1.0", "VQA-RAD: public domain.")
PUBLIC: Final = ("VQA_RAD_Dataset_Public.json", "VQA_RAD Dataset Public.json")
SPLITS: Final = {"train": ("trainset.json", "train.json"), "test": ("testset.json", "test.json")}
IMAGE_FOLDERS: Final = ("images", "VQA_RAD Image Folder", "VQA_RAD_Image_Folder")


def read_vqa_rad(folder: Path, split: str = "train") -> TrainingData:
    """Read one split of a VQA-RAD folder, whatever its layout.

    Raises:
        PolicyError: There is no such split.
        NotFoundError: The folder holds none of the three layouts.
        DamagedInputError: A table cannot be read.
    """
    if split not in SPLITS:
        raise PolicyError(
            "VQA-RAD has no split of that name.",
            remedy=f"Use one of {', '.join(SPLITS)}.",
            code="training.configuration",
        )
    images = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), folder)
    parts = tuple(parts_of(folder, split))
    public = first_present(folder, PUBLIC)
    prepared = first_present(folder, SPLITS[split])
    if parts:
        rows = [
            row for part in parts for row in read_parquet(part, ("question", "answer"), "image")
        ]
        records = TableRecords(parts, rows)
    elif prepared is not None:
        records = TableRecords((prepared,), read_json_list(prepared))
    elif public is not None:
        every = read_json_list(public)
        chosen = [row for row in every if _is_test(row) == (split == "test")]
        records = TableRecords((public,), chosen)
    else:
        raise NotFoundError(
            "The folder holds no VQA-RAD.",
            remedy=f"It needs {PUBLIC[0]}, trainset.json or train-*.parquet, with the images.",
            code="training.file",
        )

    def convert(row: Any, key: str) -> Sample:
        return vqa_sample(row, key, images)

    return TrainingData("VQA-RAD", records, convert, "all", TERMS)


def vqa_sample(row: Any, key: str, images: Path) -> Sample:
    """Make a sample of a question about one image.

    Args:
        row: Has ``question``, ``answer`` (a text or a number), and ``image_name`` or a picture
            in ``image``.
        key: The sample's key.
        images: Folder of the images.

    Raises:
        RowError: A field is missing.
    """
    question = text_field(row, "question")
    answer = row.get("answer")
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
        raise RowError("damaged_row", "answer")
    spoken = str(answer).strip()
    if not spoken:
        raise RowError("no_answer")
    stored = row.get("image")
    picture: Picture
    if stored is None:
        name = Path(text_field(row, "image_name")).name
        picture = ImageFile(images / name, name)
    else:
        picture = stored
    facts = {
        name: str(row[name]).strip()
        for name in ("answer_type", "question_type", "image_organ")
        if isinstance(row.get(name), str)
    }
    rounds = ((with_leading_tags(question.strip(), 1), spoken),)
    return Sample(key, rounds, (picture,), facts=facts)


def _is_test(row: Any) -> bool:
    return isinstance(row, dict) and str(row.get("phrase_type", "")).startswith("test")
