"""Question answering on one small set: VQA-RAD, and PathVQA in the same way.

Numbers of the full form are those of LLaVA-Med's fine-tuning on these sets.
"""

from longllava_domains.adapters.recipes.base import OURS, Recipe
from longllava_domains.adapters.recipes.lora_settings import LoraSettings

_LLAVA_MED = "LLaVA-Med's fine-tuning on VQA sets (the paper's 3 epochs; released weights had 9)"

_SOURCES = {
    "epochs": _LLAVA_MED,
    "learning_rate": _LLAVA_MED,
    "rows_per_step": OURS,
    "tokens_per_row": "ours: short answers, so that a small set still makes enough steps",
    "packing": OURS,
}


def vqa_rad() -> Recipe:
    """Train the language model and the projector on VQA-RAD."""
    return _full("vqa-rad")


def vqa_rad_lora() -> Recipe:
    """Train an adapter and the projector on VQA-RAD."""
    return _adapter("vqa-rad")


def pathvqa() -> Recipe:
    """Train the language model and the projector on PathVQA."""
    return _full("pathvqa")


def pathvqa_lora() -> Recipe:
    """Train an adapter and the projector on PathVQA."""
    return _adapter("pathvqa")


def _full(layout: str) -> Recipe:
    return Recipe(
        layout, layout, "language_model", None, learning_rate=2e-5, epochs=3, rows_per_step=8,
        tokens_per_row=4096, sources=_SOURCES,
    )  # fmt: skip


def _adapter(layout: str) -> Recipe:
    return Recipe(
        f"{layout}-lora", layout, "adapter", LoraSettings(rank=64, alpha=128), learning_rate=1e-4,
        epochs=3, rows_per_step=8, tokens_per_row=4096,
        sources={**_SOURCES, "lora": OURS, "learning_rate": OURS},
    )  # fmt: skip
