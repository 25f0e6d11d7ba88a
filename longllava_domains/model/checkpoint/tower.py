"""The CLIP tower that a released config.json only hints at (``mm_vision_tower``)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CLIPVisionConfig

from longllava_domains.errors import CheckpointError
from longllava_domains.model.checkpoint.files import has_weights, read_json
from longllava_domains.model.checkpoint.source import is_hub_id
from longllava_domains.model.network.config import CLIP_LARGE_336
from longllava_domains.model.network.config_entries import data_entries


def tower_config(folder: Path, entries: dict[str, Any]) -> CLIPVisionConfig:
    """Return the configuration of the tower.

    The hint may be a folder (relative to the checkpoint or not), a hub id, or a path on the
    machine of whoever trained the checkpoint; so a folder that exists is read, and otherwise the
    tower is CLIP ViT-L/14-336, which all released checkpoints were trained with. Shapes are
    checked against the weights later.

    Args:
        folder: The checkpoint.
        entries: Its config.json.

    Raises:
        CheckpointError: No configuration was found and ``mm_hidden_size`` is not that of ViT-L.
    """
    for candidate in _candidates(folder, entries):
        if _is_file(candidate / "config.json"):
            found = data_entries(read_json(candidate / "config.json", "tower's config.json"))
            found = found.get("vision_config") or found
            return CLIPVisionConfig(**{k: v for k, v in found.items() if k != "model_type"})
    width = entries.get("mm_hidden_size") or CLIP_LARGE_336["hidden_size"]
    if width != CLIP_LARGE_336["hidden_size"]:
        raise CheckpointError(
            f"The configuration of the vision tower is not known: its width is {width}, that of "
            f"CLIP ViT-L/14-336 is {CLIP_LARGE_336['hidden_size']}.",
            remedy="Put the tower's config.json into a folder vision_tower beside config.json.",
            code="checkpoint.tower",
        )
    return CLIPVisionConfig(**CLIP_LARGE_336)


def tower_folder(folder: Path, entries: dict[str, Any]) -> Path | None:
    """Return a local folder with the weights of the tower that the hint names, or None."""
    usable = (candidate for candidate in _candidates(folder, entries) if has_weights(candidate))
    return next(usable, None)


def tower_hub_id(entries: dict[str, Any]) -> str | None:
    """Return the hint where it is spelled as a hub id, such as ``openai/clip-vit-...``."""
    hint = entries.get("mm_vision_tower")
    return hint if isinstance(hint, str) and is_hub_id(hint) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        return False


def _candidates(folder: Path, entries: dict[str, Any]) -> Iterator[Path]:
    hint = entries.get("mm_vision_tower")
    if isinstance(hint, str) and hint:
        yield folder / hint  # an absolute hint replaces the folder
        yield folder / Path(hint).name
    yield folder / "vision_tower"
