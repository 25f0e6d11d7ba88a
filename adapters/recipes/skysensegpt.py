"""LongLLaVA-RS: the sampled 381k rows of FIT-RS, the data of SkySenseGPT.

LongLLaVA-RS's numbers are not published. The full form has those of the scripts that trained the
base; the adapter has those of GeoChat's script, which SkySenseGPT's author names as theirs.
"""

from longllava_domains.adapters.recipes.base import SCRIPTS, Recipe
from longllava_domains.adapters.recipes.lora_settings import LoraSettings

_GEOCHAT = "GeoChat's finetune_lora.sh, named by SkySenseGPT's author (issue 11)"

_SOURCES = {
    "epochs": _GEOCHAT,
    "learning_rate": SCRIPTS,
    "warmup_ratio": SCRIPTS,
    "weight_decay": SCRIPTS,
    "tokens_per_row": SCRIPTS,
    "rows_per_step": "one row on each of 3 x 8 GPUs, as the base was trained",
    "packing": "ours: the original packed without keeping samples apart",
}


def skysensegpt() -> Recipe:
    """Train the language model and the projector."""
    return Recipe(
        "skysensegpt", "fit-rs", "language_model", None, learning_rate=1e-5, sources=_SOURCES
    )


def skysensegpt_lora() -> Recipe:
    """Train an adapter and the projector."""
    changed = {
        "lora": f"{_GEOCHAT}; targets are ours",
        "learning_rate": _GEOCHAT,
        "rows_per_step": "ours: GeoChat's 32 samples a GPU are a fraction of a packed row",
    }
    # Adapters on experts cannot have dropout; LongLLaVA-9B has none, the 53B needs dropout 0.
    return Recipe(
        "skysensegpt-lora",
        "fit-rs",
        "adapter",
        LoraSettings(rank=64, alpha=16, dropout=0.05),
        learning_rate=2e-4,
        rows_per_step=8,
        sources={**_SOURCES, **changed},
    )
