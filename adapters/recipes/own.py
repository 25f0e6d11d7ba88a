"""Recipes for other data: reports of CT-RATE, and LLaVA-style data of one's own."""

from longllava_domains.adapters.recipes.base import OURS, SCRIPTS, Recipe
from longllava_domains.adapters.recipes.lora_settings import LoraSettings

_SOURCES = {
    "learning_rate": SCRIPTS,
    "warmup_ratio": SCRIPTS,
    "weight_decay": SCRIPTS,
    "tokens_per_row": SCRIPTS,
    "epochs": OURS,
    "rows_per_step": OURS,
    "packing": OURS,
}
_ADAPTER_SOURCES = {**_SOURCES, "lora": OURS, "learning_rate": OURS}


def own() -> Recipe:
    """Train the language model and the projector on LLaVA-style data."""
    return _full("own", "llava")


def own_lora() -> Recipe:
    """Train an adapter and the projector on LLaVA-style data."""
    return _adapter("own", "llava")


def ct_rate_reports() -> Recipe:
    """Train the language model and the projector to write the reports of CT-RATE."""
    return _full("ct-rate-reports", "ct-rate")


def ct_rate_reports_lora() -> Recipe:
    """Train an adapter and the projector to write the reports of CT-RATE."""
    return _adapter("ct-rate-reports", "ct-rate")


def _full(name: str, layout: str) -> Recipe:
    return Recipe(
        name, layout, "language_model", None, learning_rate=1e-5, rows_per_step=8, sources=_SOURCES
    )


def _adapter(name: str, layout: str) -> Recipe:
    return Recipe(
        f"{name}-lora", layout, "adapter", LoraSettings(rank=64, alpha=128), learning_rate=1e-4,
        rows_per_step=8, sources=_ADAPTER_SOURCES,
    )  # fmt: skip
