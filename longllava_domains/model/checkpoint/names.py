"""Tensor names: from the layouts that checkpoints come in to the names of our network.

Three layouts are read, tensor by tensor, so a mixture is read too:

    released   model.layers.3.moe.experts.5.up_proj.weight, model.mm_projector.0.weight,
               model.vision_tower.vision_tower.vision_model.*   (LongLLaVA-9B, 53B-A13B, Med-9B)
    stock      language_model.model.layers.3.feed_forward.experts.*, multi_modal_projector.*
               (a transformers Llava composite around Jamba, as its save_pretrained writes it)
    own        model.language_model.layers.3.*, as the modules are called
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from longllava_domains.model.network.config import LongLlavaConfig

Layout = Literal["released", "stock", "own"]

# Prefix in the checkpoint -> prefix in our network. The first that fits is taken.
_PREFIXES: Final[dict[Layout, tuple[tuple[str, str], ...]]] = {
    "released": (
        ("model.vision_tower.vision_tower.vision_model.", "model.vision_tower."),
        ("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
        ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
        ("model.embed_tokens.", "model.language_model.embed_tokens."),
        ("model.layers.", "model.language_model.layers."),
        ("model.final_layernorm.", "model.language_model.final_layernorm."),
    ),
    "stock": (
        ("language_model.lm_head.", "lm_head."),
        ("language_model.model.", "model.language_model."),
        ("language_model.", "model.language_model."),
        ("vision_tower.vision_model.", "model.vision_tower."),
        ("vision_tower.", "model.vision_tower."),
        ("multi_modal_projector.", "model.multi_modal_projector."),
        ("model.vision_tower.vision_model.", "model.vision_tower."),
    ),
    "own": (
        ("model.language_model.", "model.language_model."),
        ("model.vision_tower.", "model.vision_tower."),
        ("model.multi_modal_projector.", "model.multi_modal_projector."),
        ("lm_head.", "lm_head."),
    ),
}

# Parts of a layer that the released layout calls by other names.
_RELEASED_PARTS: Final = (
    (".pre_moe_layernorm.", ".pre_ff_layernorm."),
    (".mamba.B_layernorm.", ".mamba.b_layernorm."),
    (".mamba.C_layernorm.", ".mamba.c_layernorm."),
    (".moe.router.", ".feed_forward.router."),
)

_EXPERT = re.compile(
    r"(?P<layer>.*\.layers\.(?P<index>\d+)\.)(?P<block>moe|feed_forward)\.experts\."
    r"(?P<expert>\d+)\.(?P<part>gate|up|down)_proj\.weight\Z"
)
_DENSE = re.compile(r"(.*\.layers\.\d+\.)feed_forward\.((?:gate|up|down)_proj\.weight)\Z")

# Written by older transformers; computed, never trained.
_DERIVED = re.compile(r".*\.embeddings\.position_ids\Z")


@dataclass(frozen=True)
class Destination:
    """Destination of one tensor of a checkpoint.

    Attributes:
        parameter: Name of the parameter in our network.
        expert: Which expert of a fused parameter, None for a whole parameter.
        part: ``"gate"``, ``"up"`` or ``"down"`` of that expert.
    """

    parameter: str
    expert: int | None = None
    part: str | None = None


class NameMap:
    """Reads and spells tensor names for one configuration.

    Args:
        config: Says which layers hold several experts; elsewhere expert 0 is a dense block.
    """

    def __init__(self, config: LongLlavaConfig) -> None:
        experts = enumerate(config.text_config.layers_num_experts)
        self._sparse = frozenset(index for index, count in experts if count > 1)

    def destination(self, name: str) -> Destination | None:
        """Return where a tensor of this name goes, None where no layout has such a name."""
        own = _own_prefix(name)
        if own is None:
            return None
        for released, ours in _RELEASED_PARTS:
            own = own.replace(released, ours)
        expert = _EXPERT.match(own)
        if expert is None:
            return Destination(own)
        layer, number, part = expert["layer"], int(expert["expert"]), expert["part"]
        if int(expert["index"]) in self._sparse:
            fused = "down_proj" if part == "down" else "gate_up_proj"
            return Destination(f"{layer}feed_forward.experts.{fused}", number, part)
        if number == 0 and expert["block"] == "moe":
            return Destination(f"{layer}feed_forward.{part}_proj.weight")
        return None


def is_derived(name: str) -> bool:
    """Return True for a computed buffer that old checkpoints store."""
    return _DERIVED.match(name) is not None


def layout_of(names: list[str]) -> Layout:
    """Return the layout of the names, judged by those that only one layout has."""
    if any(name.startswith(("model.layers.", "model.mm_projector.")) for name in names):
        return "released"
    if any(name.startswith(("language_model.", "multi_modal_projector.")) for name in names):
        return "stock"
    return "own"


def spell(destination: Destination, layout: Layout) -> str:
    """Return the name that a destination has in a layout: what a user searches a checkpoint for."""
    name = destination.parameter
    if destination.expert is not None:
        stem = name.rpartition(".")[0]
        name = f"{stem}.{destination.expert}.{destination.part}_proj.weight"
    for theirs, ours in _PREFIXES[layout]:
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
            break
    if layout == "released":
        for released, ours in _RELEASED_PARTS:
            name = name.replace(ours, released)
        name = _DENSE.sub(r"\1moe.experts.0.\2", name).replace(".feed_forward.", ".moe.")
    return name


def tower_destination(name: str) -> Destination | None:
    """Return where a tensor of a separate CLIP checkpoint goes; None for its text half."""
    own = name.removeprefix("vision_model.")
    if own.startswith(("embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm.")):
        return Destination(f"model.vision_tower.{own}")
    return None


def _own_prefix(name: str) -> str | None:
    for pairs in _PREFIXES.values():
        for theirs, ours in pairs:
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
    return None
