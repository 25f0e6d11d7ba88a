"""LongLLaVA itself: its stages, and the ablations of its paper as variants of them.

Stages are trained one after the other, each from the result of the one before. The data was never
published as one set: each part is read from the user's disk, under the paper's name for it.
"""

from dataclasses import replace
from typing import Final, Literal, get_args

from longllava_domains.adapters.recipes.base import OURS, SCRIPTS, Recipe
from longllava_domains.adapters.recipes.mix import (
    ALIGN,
    MULTI,
    PAPER,
    REPLAY_IMAGES,
    REPLAY_TEXT,
    SINGLE,
    SUB_IMAGES,
    TEXT,
    MixPart,
    replay,
)
from longllava_domains.errors import PolicyError

Stages = Literal["1&2&3", "1,2&3", "1,2,3"]
Pooling = Literal["1d", "2d"]

_SOURCES = {
    "learning_rate": SCRIPTS,
    "warmup_ratio": SCRIPTS,
    "weight_decay": SCRIPTS,
    "epochs": SCRIPTS,
    "tokens_per_row": SCRIPTS,
    "rows_per_step": "one row on each of 3 x 8 GPUs, as the scripts and the paper have it",
    "mix": PAPER,
    "packing": "ours: the original packed without keeping samples apart",
}
# LLaVA-1.5's own recipe: 558K captions for the projector, then 665K conversations.
_LLAVA_15: Final = "LLaVA-1.5's scripts (pretrain.sh, finetune.sh)"


def longllava_text() -> Recipe:
    """Train the language model on text alone, before it has seen an image."""
    return Recipe(
        "longllava-text", "llava", "language_model", None, learning_rate=1e-5, mix=TEXT,
        sources={**_SOURCES, "learning_rate": OURS, "epochs": OURS},
    )  # fmt: skip


def longllava_stage1() -> Recipe:
    """Train the projector alone on captions of single images."""
    return Recipe(
        "longllava-stage1", "llava", "projector", None, learning_rate=1e-4, mix=ALIGN,
        rows_per_step=32 * 24, tokens_per_row=2048, pooling="1d", packing="none",
        sources={
            **_SOURCES,
            "pooling": "the alignment script says 1d, the other two 2d",
            "rows_per_step": "32 samples on each of 3 x 8 GPUs, as the scripts have it",
            "packing": "the alignment script does not pack",
        },
    )  # fmt: skip


def longllava_stage2() -> Recipe:
    """Train the language model and the projector on questions about single images."""
    return _tuned("longllava-stage2", SINGLE)


def longllava_stage3(
    replay_images: int = REPLAY_IMAGES, replay_text: int = REPLAY_TEXT, *, sub_images: bool = True
) -> Recipe:
    """Train them on several images, with replay of earlier stages and large images in parts.

    Args:
        replay_images: Single-image rows that are shown again; the paper varies 0 to 400,000.
        replay_text: Rows of text that are shown again.
        sub_images: Whether large images in parts are in the mixture.
    """
    extra = (SUB_IMAGES,) if sub_images else ()
    made = _tuned("longllava-stage3", (*MULTI, *replay(replay_images, replay_text), *extra))
    plain = (replay_images, replay_text, sub_images) == (REPLAY_IMAGES, REPLAY_TEXT, True)
    return made if plain else replace(made, name="longllava-stage3-modified")


def paper_stages(stages: Stages = "1,2,3", *, pooling: Pooling | None = None) -> tuple[Recipe, ...]:
    """Return the runs of an ablation, in order.

    Args:
        stages: ``"1,2,3"`` one after the other; ``"1,2&3"`` the last two together; ``"1&2&3"``
            everything at once.
        pooling: Pooling in all of them; None as the scripts have it.

    Raises:
        PolicyError: There is no such ablation.
    """
    if stages not in get_args(Stages):
        raise PolicyError(
            "There is no ablation of that name.",
            remedy=f"Use one of {'; '.join(get_args(Stages))}.",
            code="recipe.stages",
        )
    one, two, three = longllava_stage1(), longllava_stage2(), longllava_stage3()
    together = {
        "1,2,3": (one, two, three),
        "1,2&3": (one, _tuned("longllava-stage2&3", (*two.mix, *three.mix))),
        "1&2&3": (_tuned("longllava-stage1&2&3", (*one.mix, *two.mix, *three.mix)),),
    }[stages]
    if pooling is None:
        return together
    return tuple(run.modified({"pooling": pooling}) for run in together)


def llava_15() -> tuple[Recipe, ...]:
    """Return LLaVA-1.5's recipe on this network, the paper's baseline: projector, then all."""
    sources = {**_SOURCES, "learning_rate": _LLAVA_15, "mix": _LLAVA_15}
    align = replace(
        longllava_stage1(), name="llava-1.5-align", learning_rate=1e-3, rows_per_step=256,
        mix=(MixPart("llava-1.5-pretrain", 558_000),), sources=sources,
    )  # fmt: skip
    tune = replace(
        longllava_stage2(), name="llava-1.5-tune", learning_rate=2e-5, rows_per_step=128,
        packing="none", tokens_per_row=2048, mix=(MixPart("llava-1.5", 665_000),), sources=sources,
    )  # fmt: skip
    return align, tune


def _tuned(name: str, mix: tuple[MixPart, ...]) -> Recipe:
    return Recipe(
        name, "llava", "language_model", None, learning_rate=1e-5, mix=mix, sources=_SOURCES
    )
