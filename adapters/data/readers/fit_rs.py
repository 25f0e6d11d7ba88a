"""FIT-RS (ll-13/FIT-RS), the instruction data of SkySenseGPT: chips of large STAR scenes.

Rows are LLaVA-style. Three ways to have it: 1,415k rows in one file, a sample of 381k (the 27 %
that LongLLaVA was trained on, in all likelihood), and one file for each task.
"""

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from longllava_domains.adapters.data.readers.llava import llava_sample
from longllava_domains.adapters.data.records import JsonRecords
from longllava_domains.adapters.data.sample import Sample
from longllava_domains.adapters.data.training_data import Terms, TrainingData
from longllava_domains.errors import NotFoundError, PolicyError

# What a file's name begins with. The sampled file's goes on with "(subset of 1415k)".
PARTS: Final = {
    "381k": "FIT-RS-train-sampled-381k",
    "1415k": "FIT-RS-train-1415k",
    "tasks": "train_instruction_",
}
IMAGE_FOLDERS: Final = ("imgv2_split_512_100_vaild", "FIT-RS_Image", "images")
TERMS: Final = Terms("CC-BY-NC-4.0", "FIT-RS: attribution, no commercial use.")

_CHIP = re.compile(r"(?P<scene>[^/]+?)__(?P<size>\d+)__(?P<x>\d+)___(?P<y>\d+)\.\w+\Z")
_TASK = re.compile(r"train_instruction_([a-z]+)_?\d*k?\.json\Z")


class Chip(NamedTuple):
    """Position of a chip in its STAR scene.

    Attributes:
        scene: Number of the scene, as its file is named.
        size_px: Side of the chip, pixels.
        x: Column of its left edge in the scene.
        y: Row of its upper edge in the scene.
    """

    scene: str
    size_px: int
    x: int
    y: int


def chip_of(name: str) -> Chip | None:
    """Read a chip's name (``0001__512__100___200.png``); None where it is no such name."""
    found = _CHIP.search(name)
    if found is None:
        return None
    return Chip(found["scene"], int(found["size"]), int(found["x"]), int(found["y"]))


def read_fit_rs(folder: Path, part: str = "381k", images: Path | None = None) -> TrainingData:
    """Read a FIT-RS folder.

    Args:
        folder: Holds the JSON files, itself or in ``FIT-RS_Instruction/``.
        part: ``"381k"``, ``"1415k"`` or ``"tasks"`` (every per-task file).
        images: Folder with the chips; by default looked for beside the JSON files.

    Raises:
        PolicyError: There is no such part.
        NotFoundError: The folder lacks the part, or the chips.
    """
    if part not in PARTS:
        raise PolicyError(
            "FIT-RS has no part of that name.",
            remedy=f"Use one of {', '.join(PARTS)}.",
            code="training.configuration",
        )
    found = sorted(path for path in folder.rglob("*.json") if path.name.startswith(PARTS[part]))
    if not found:
        raise NotFoundError(
            f"The folder holds no part {part} of FIT-RS.",
            remedy=f"Put {PARTS[part]}*.json there, or choose another part.",
            code="training.file",
        )
    chips = images or _chips(folder)
    tasks = [_TASK.match(path.name) for path in found]

    def convert(row: Any, key: str) -> Sample:
        """Return the sample of a row, with its task and its chip's position."""
        task = tasks[int(key.partition(":")[0])]
        name = row.get("image") if isinstance(row, dict) else None
        chip = chip_of(name) if isinstance(name, str) else None
        facts = {} if task is None else {"task": task[1]}
        if chip is not None:
            facts |= {"scene": chip.scene, "x": str(chip.x), "y": str(chip.y)}
        return llava_sample(row, key, chips, facts=facts)

    return TrainingData("FIT-RS", JsonRecords(tuple(found)), convert, "all", TERMS)


def _chips(folder: Path) -> Path:
    for name in IMAGE_FOLDERS:
        for candidate in (folder / name, folder / "FIT-RS_Image" / name):
            if candidate.is_dir() and any(candidate.glob("*__*___*.*")):
                return candidate
    raise NotFoundError(
        "The folder holds no chips of FIT-RS.",
        remedy=f"Unpack FIT-RS_Img.tar.gz there, so that it holds {IMAGE_FOLDERS[0]}/.",
        code="training.images",
    )
