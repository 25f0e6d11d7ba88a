"""`arguments_of`: a recipe as transformers' `TrainingArguments`."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from longllava_domains.adapters.data.loader import RowLoader
from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.errors import PolicyError


def arguments_of(
    recipe: Recipe,
    output: Path,
    loader: RowLoader,
    *,
    save_every_steps: int = 400,
    report_to: str = "none",
    **more: Any,
) -> TrainingArguments:
    """Translate a recipe into transformers' arguments.

    Args:
        recipe: The run.
        output: Its folder.
        loader: Its rows, which say how many steps there are.
        save_every_steps: Steps between checkpoints; the original saved every 400.
        report_to: Where figures go besides the screen, such as ``"tensorboard"``.
        **more: Handed to `TrainingArguments` as they are.

    Raises:
        PolicyError: It is to be pushed while it trains, when it has no card.
    """
    if more.get("push_to_hub"):
        raise PolicyError(
            "A model is not pushed while it trains: it has no card yet.",
            remedy="Train it, look at its card, then run longllava publish FOLDER OWNER/NAME.",
            code="publish.card",
        )
    steps = len(loader) // loader.rows_per_step
    on_gpu = torch.cuda.is_available() and not more.get("use_cpu")
    settings: dict[str, Any] = {
        "output_dir": str(output),
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": loader.rows_per_step,
        "max_steps": steps,
        "num_train_epochs": 1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "cosine",
        # Rounded down: the rate of a first warm-up step is 0, and a short run has no step to lose.
        "warmup_steps": int(recipe.warmup_ratio * steps),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": "adamw_torch",
        "bf16": on_gpu and recipe.dtype == "bfloat16",
        "activation_checkpointing": recipe.recompute_layers,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "seed": recipe.seed,
        "save_strategy": "steps",
        "save_steps": save_every_steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": report_to,
        "remove_unused_columns": False,
        "ignore_data_skip": True,
        "disable_tqdm": True,
        "ddp_find_unused_parameters": True,
    }
    return TrainingArguments(**{**settings, **more})
