"""LongLLaVA-Med: one epoch of PubMedVision from LongLLaVA-9B.

The paper says no more than that. The numbers are those of the scripts that trained the base.
"""

from longllava_domains.adapters.recipes.base import OURS, SCRIPTS, Recipe
from longllava_domains.adapters.recipes.lora_settings import LoraSettings

_SOURCES = {
    "epochs": "LongLLaVA paper, section on LongLLaVA-Med",
    "learning_rate": SCRIPTS,
    "warmup_ratio": SCRIPTS,
    "weight_decay": SCRIPTS,
    "tokens_per_row": SCRIPTS,
    "rows_per_step": "one row on each of 3 x 8 GPUs, as the base was trained",
    "loss_on": "PubMedVision's own trainer (HuatuoGPT-Vision, April 2025): the last answer",
    "packing": "ours: the original packed without keeping samples apart",
}


def pubmedvision() -> Recipe:
    """Train the language model and the projector."""
    return Recipe(
        "pubmedvision",
        "pubmedvision",
        "language_model",
        None,
        learning_rate=1e-5,
        loss_on="last",
        sources=_SOURCES,
    )


def pubmedvision_lora() -> Recipe:
    """Train an adapter and the projector."""
    changed = {"lora": OURS, "learning_rate": OURS, "rows_per_step": OURS}
    return Recipe(
        "pubmedvision-lora",
        "pubmedvision",
        "adapter",
        LoraSettings(rank=64, alpha=128),
        learning_rate=1e-4,
        rows_per_step=8,
        loss_on="last",
        sources={**_SOURCES, **changed},
    )
