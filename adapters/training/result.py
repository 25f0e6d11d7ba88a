"""The result of a training in its folder: weights, card, recipe and what was found in the data."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from longllava_domains.adapters.training.card import Made, write_card
from longllava_domains.adapters.training.checkpoints import written_whole
from longllava_domains.errors import OutputError

CHECKS: Final = "data_check.json"
LOG: Final = "log.json"
_RESULT: Final = "result"


def require_free(output: Path) -> None:
    """Refuse a folder that already holds something.

    Raises:
        OutputError: It does.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(
            "The output folder is not empty.",
            remedy="Name a new folder, or resume the run that is in it (--resume).",
            code="training.output",
        )


def save_result(
    model: Any,
    output: Path,
    made: Made,
    log: Sequence[dict[str, Any]],
    tokenizer: Path,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Save what was trained beside the run's checkpoints.

    An adapter is saved in the hub's layout; a whole network with the tokenizer's files, so that
    the folder is a model.

    Args:
        model: The network, or the peft model around it.
        output: The run's folder.
        made: How it was made.
        log: What was logged at each step.
        tokenizer: Folder with the tokenizer's files.
        weights: Whole weights by name, where the network itself holds shares of them.

    Raises:
        TrainingError: It could not be written.
    """
    with written_whole(output, _RESULT) as folder:
        if made.recipe.lora is not None:
            # peft would record where the base stands on this machine.
            is_hub_id = "/" in made.base and not made.base.startswith("local:")
            model.peft_config["default"].base_model_name_or_path = made.base if is_hub_id else ""
            # "auto" would ask the hub for the base's configuration.
            model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
        else:
            model.save_pretrained(folder, state_dict=weights)
            for path in sorted(tokenizer.glob("*token*")):
                shutil.copyfile(path, folder / path.name)
        (folder / "README.md").write_text(write_card(made), encoding="utf-8")
        _write_json(folder / "recipe.json", made.recipe.to_json())
        _write_json(folder / CHECKS, [asdict(check) for check in made.checks])
        _write_json(folder / LOG, list(log))
    for path in (output / _RESULT).iterdir():
        path.replace(output / path.name)
    (output / _RESULT).rmdir()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
