"""`publish`: put a trained adapter or model on the hub, with its card and never without."""

import json
import re
from pathlib import Path
from typing import Any, Final

from longllava_domains.adapters.training.checkpoints import checkpoints
from longllava_domains.errors import NetworkError, NotFoundError, PolicyError
from longllava_domains.provenance import RESEARCH_NOTICE

CARD: Final = "README.md"
# What travels; checkpoints, logs of the machine and optimizer states stay.
_FILES: Final = ("*.safetensors", "*.json", "*token*", CARD)
_NEEDED: Final = ("license", "tags")


def require_card(folder: Path) -> dict[str, str]:
    """Return what a card says of licence and origin.

    Args:
        folder: A training's result.

    Raises:
        NotFoundError: The folder holds no result.
        PolicyError: The card is absent, or lacks the licence, the data's terms or the notice.
    """
    if not any(folder.glob("*.safetensors")):
        raise NotFoundError(
            "The folder holds no trained weights."
            if folder.is_dir()
            else "There is no such folder.",
            remedy="Name the output folder of a fine-tuning that ended.",
            code="publish.folder",
        )
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    entries = {}
    for line in front[1].splitlines() if front else ():
        key, _, value = line.partition(": ")
        entries[key] = value
    missing = [key for key in _NEEDED if not entries.get(key, "").strip('" ')]
    missing += [] if RESEARCH_NOTICE in text else ["the notice of research use"]
    missing += [] if "\n## Data\n" in text else ["the terms of the data"]
    if missing:
        raise PolicyError(
            f"The card lacks {', '.join(missing)}; a model is not published without.",
            remedy="Keep the README.md that the fine-tuning wrote, and add to it.",
            code="publish.card",
        )
    if json.loads(entries["license"]) == "other":
        raise PolicyError(
            "The licence of the training data is not known, so neither is the model's.",
            remedy="Find out on what terms the data may be used, and write the licence into the "
            "card's first lines.",
            code="publish.licence",
        )
    return entries


def publish(folder: Path, repository: str, *, private: bool = True, hub: Any = None) -> str:
    """Upload a result.

    Args:
        folder: A training's result, with its card.
        repository: ``owner/name`` on the hub.
        private: Whether a new repository is private.
        hub: What uploads; by default the Hugging Face hub with the user's own login.

    Returns:
        The address of the commit.

    Raises:
        NotFoundError: The folder holds no result.
        PolicyError: The card is not complete, or the run has not ended.
        NetworkError: The hub refused or was not reached.
    """
    require_card(folder)
    if checkpoints(folder) and not (folder / "recipe.json").is_file():
        raise PolicyError(
            "The run in this folder has not ended.",
            remedy="Resume it to its end (longllava finetune ... --resume).",
            code="publish.unfinished",
        )
    if hub is None:
        from huggingface_hub import HfApi

        hub = HfApi()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository, folder_path=str(folder), allow_patterns=list(_FILES),
            ignore_patterns=["checkpoint-*", ".*"],
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise NetworkError(
            "The hub did not take the model.",
            remedy="Log in with `hf auth login`, and name a repository that is yours.",
            code="publish.hub",
            facts={"error": type(error).__name__},
        ) from None
    return str(done)
