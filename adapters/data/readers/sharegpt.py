"""ShareGPT data as LLaMA-Factory describes it in ``dataset_info.json``.

The description names the file, the columns and the tags of turns; what it leaves out has
LLaMA-Factory's defaults. Rows have ``images`` (a list) and ``<image>`` in the text.
"""

import json
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.data.readers.llava import pictures_of
from longllava_domains.adapters.data.records import JsonRecords
from longllava_domains.adapters.data.sample import RowError, Sample
from longllava_domains.adapters.data.training_data import TrainingData
from longllava_domains.adapters.data.turns import rounds_of, turns_of
from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError

INFO: Final = "dataset_info.json"

_TAGS: Final = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "system_tag": "system",
}


def read_sharegpt(folder: Path, name: str | None = None) -> TrainingData:
    """Read one data set of a LLaMA-Factory folder.

    Args:
        folder: Holds ``dataset_info.json`` and the data; paths of images start from it.
        name: Which data set; None where there is only one.

    Raises:
        NotFoundError: No description, no data set of that name, or no file.
        DamagedInputError: The description is not JSON.
        UnsupportedInputError: The data set is not in the ShareGPT format.
    """
    chosen, entry = _described(folder, name)
    if entry.get("formatting") != "sharegpt":
        raise UnsupportedInputError(
            "The data set is not in the ShareGPT format.",
            remedy='Only entries with "formatting": "sharegpt" are read; convert the others.',
            code="training.formatting",
        )
    file = folder / str(entry.get("file_name", ""))
    if not file.is_file():
        raise NotFoundError(
            "The file that dataset_info.json names for the data set is not there.",
            remedy="Put it beside dataset_info.json; hub and script entries are not fetched.",
            code="training.file",
        )
    columns = entry.get("columns") or {}
    tags = _TAGS | (entry.get("tags") or {})
    messages = str(columns.get("messages", "conversations"))

    def convert(row: Any, key: str) -> Sample:
        """Return the sample of a row; raise `RowError` if it cannot be used."""
        if not isinstance(row, dict):
            raise RowError("damaged_row")
        turns = turns_of(row, messages, tags["role_tag"], tags["content_tag"])
        system = row.get(columns["system"]) if "system" in columns else None
        if system or any(role == tags["system_tag"] for role, _ in turns):
            raise RowError("unknown_role")  # the template of LongLLaVA has no system prompt
        users, assistants = frozenset({tags["user_tag"]}), frozenset({tags["assistant_tag"]})
        rounds, trimmed = rounds_of(turns, users, assistants)
        images = row.get(columns["images"]) if "images" in columns else None
        return Sample(key, rounds, pictures_of(images, folder), trimmed=trimmed)

    return TrainingData(chosen, JsonRecords((file,)), convert)


def _described(folder: Path, name: str | None) -> tuple[str, dict[str, Any]]:
    try:
        entries = json.loads((folder / INFO).read_text("utf-8"))
    except OSError:
        raise NotFoundError(
            "The folder has no dataset_info.json.",
            remedy="Name the data folder of LLaMA-Factory.",
            code="training.file",
        ) from None
    except ValueError:
        entries = None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise DamagedInputError(
            "dataset_info.json does not describe data sets.",
            remedy="It must be one JSON object, with an object for each data set.",
            code="training.json",
        )
    if name is None and len(entries) == 1:
        name = next(iter(entries))
    if name is None or name not in entries:
        raise NotFoundError(
            f"dataset_info.json describes {len(entries)} data sets, and none was chosen among them.",
            remedy="Name one: data=FOLDER#NAME.",
            code="training.dataset",
            facts={"data_sets": len(entries)},
        )
    return name, entries[name]
