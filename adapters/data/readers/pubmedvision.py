"""PubMedVision (FreedomIntelligence/PubMedVision): 1.29 million questions about medical figures.

Two files, for alignment and for instruction tuning. A row has ``id``, ``image`` (a list of
paths), ``conversations``, and since July 2024 ``modality`` and ``body_part``, which are another
model's predictions. The texts hold no ``<image>``: the data set's own trainer puts one line for
each image first, drops rows with more than 8, and learns the last answer alone.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.readers.llava import llava_sample, with_leading_tags
from longllava_domains.adapters.data.records import JsonRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import Terms, TrainingData
from longllava_domains.errors import NotFoundError, PolicyError

CONFIGURATIONS: Final = {
    "alignment": "PubMedVision_Alignment_VQA.json",
    "instruction": "PubMedVision_InstructionTuning_VQA.json",
}
MAX_IMAGES: Final = 8
TERMS: Final = Terms(
    "Apache-2.0", "Figures come from PubMed Central; their licences are their own."
)

# Spellings that occur in this family of data sets, in lower case -> what we call it.
_MODALITIES: Final = {
    "ct": "CT",
    "ct(computed tomography)": "CT",
    "computed tomography": "CT",
    "computed tomography (ct)": "CT",
    "mr": "MR",
    "mri": "MR",
    "mr (mag-netic resonance imaging)": "MR",
    "mr (magnetic resonance imaging)": "MR",
    "magnetic resonance imaging": "MR",
    "magnetic resonance imaging (mri)": "MR",
    "x-ray": "X-ray",
}


def read_pubmedvision(folder: Path, configuration: str = "both") -> TrainingData:
    """Read a PubMedVision folder.

    Args:
        folder: Holds the JSON files and ``images/``.
        configuration: ``"alignment"``, ``"instruction"`` or ``"both"``.

    Raises:
        PolicyError: There is no such configuration.
        NotFoundError: The folder lacks its file.
    """
    if configuration not in (*CONFIGURATIONS, "both"):
        raise PolicyError(
            "PubMedVision has no configuration of that name.",
            remedy=f"Use one of {', '.join(CONFIGURATIONS)} or both.",
            code="training.configuration",
        )
    wanted = [
        folder / file for name, file in CONFIGURATIONS.items() if configuration in (name, "both")
    ]
    present = tuple(path for path in wanted if path.is_file())
    if not present or (configuration != "both" and len(present) < len(wanted)):
        raise NotFoundError(
            "The folder holds no PubMedVision file of that configuration.",
            remedy=f"Put {' or '.join(path.name for path in wanted)} beside images/.",
            code="training.file",
        )

    def convert(row: Any, key: str) -> Sample:
        return _sample(row, key, folder)

    return TrainingData("PubMedVision", JsonRecords(present), convert, "last", TERMS)


def _sample(row: Any, key: str, folder: Path) -> Sample:
    if not isinstance(row, dict) or not isinstance(row.get("image"), list):
        raise RowError("damaged_row", "image")
    if len(row["image"]) > MAX_IMAGES:
        raise RowError("too_many_images")
    facts = {
        name: str(row[name]) for name in ("modality", "body_part") if isinstance(row.get(name), str)
    }
    if "modality" in facts:
        facts["modality"] = normalised_modality(facts["modality"])
    sample = llava_sample(row, key, folder, facts=facts)
    if sample.tags or not sample.pictures:
        return sample
    (question, answer), *rest = sample.rounds
    leading = (with_leading_tags(question, len(sample.pictures)), answer)
    return replace(sample, rounds=(leading, *rest))


def normalised_modality(text: str) -> str:
    """Return one spelling for each modality that is spelled in several ways."""
    return _MODALITIES.get(" ".join(text.lower().split()), text)
