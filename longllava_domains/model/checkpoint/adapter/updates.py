"""LoRA factors of an adapter, under our names or the original's, applied to weights directly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from longllava_domains.errors import CheckpointError, QuantizationError
from longllava_domains.model.checkpoint.names import Destination, NameMap, layout_of
from longllava_domains.model.int8.linear import Int8Linear
from longllava_domains.model.int8.low_rank import add_beside
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration

_PREFIX: Final = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
# Settings of peft that change what the factors mean; all others do not.
_PLAIN: Final[Mapping[str, tuple[Any, ...]]] = {
    "peft_type": ("LORA",),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "lora_bias": (False, None),
}


@dataclass(frozen=True)
class Updates:
    """Changes that an adapter makes.

    Attributes:
        low_rank: Where to -> (down (rank, in), up (out, rank) with the adapter's scale).
        whole: Where to -> a weight that was trained as a whole.
    """

    low_rank: dict[Destination, tuple[Tensor, Tensor]] = field(default_factory=dict)
    whole: dict[Destination, Tensor] = field(default_factory=dict)


def is_the_originals(names: list[str]) -> bool:
    """Return True for tensor names of an adapter that was trained on the original code."""
    return layout_of([name.removeprefix(_PREFIX) for name in names]) == "released"


def read_updates(
    network: LongLlavaForConditionalGeneration,
    settings: Mapping[str, Any],
    weights: Mapping[str, Tensor],
) -> Updates:
    """Give every tensor of an adapter its place.

    Args:
        network: The network that it was trained on.
        settings: adapter_config.json.
        weights: The adapter's tensors, and what was trained beside it.

    Raises:
        CheckpointError: A kind of adapter that is not plain LoRA, factors without their other half,
            or tensors that have no place in this network.
    """
    for key, values in _PLAIN.items():
        if settings.get(key, values[0]) not in values:
            raise _unfit(f"its {key} is not that of plain LoRA")
    names, updates = NameMap(network.config), Updates()
    for name, tensor in weights.items():
        plain = name.removeprefix(_PREFIX)
        if plain.endswith(_UP):
            if name.removesuffix(_UP) + _DOWN not in weights:
                raise _unfit("a factor has no other half")
            continue
        down = plain.endswith(_DOWN)
        place = names.destination(plain.removesuffix(_DOWN) + ".weight" if down else plain)
        if place is None:
            raise _unfit("a tensor has no place in this network")
        if not down:
            updates.whole[place] = tensor
            continue
        up = weights.get(name.removesuffix(_DOWN) + _UP)
        if up is None:
            raise _unfit("a factor has no other half")
        rank = len(tensor)
        over = rank**0.5 if settings.get("use_rslora") else rank
        updates.low_rank[place] = (tensor, up * (float(settings.get("lora_alpha", rank)) / over))
    _require_fit(network, updates)
    return updates


@torch.no_grad()
def apply_updates(network: LongLlavaForConditionalGeneration, updates: Updates) -> None:
    """Fold updates into the weights; beside those in 8 bits.

    Raises:
        QuantizationError: An update of experts, or of a whole weight, that is in 8 bits.
    """
    reference = network.model.vision_tower.embeddings.patch_embedding.weight  # never quantised
    for place, (down, up) in updates.low_rank.items():
        module, weight = _target(network, place)
        if isinstance(module, Int8Linear):
            add_beside(module, down, up, reference)
        else:
            _require_plain(weight)
            weight += (up.float() @ down.float()).to(weight)
    for place, whole in updates.whole.items():
        weight = _target(network, place)[1]
        _require_plain(weight)
        weight.copy_(whole)


def _require_fit(network: nn.Module, updates: Updates) -> None:
    shapes = {place: tensor.shape for place, tensor in updates.whole.items()}
    shapes |= {
        place: torch.Size((len(up), down.shape[1]))
        for place, (down, up) in updates.low_rank.items()
        if up.shape[1] == len(down)
    }
    for place in (*updates.low_rank, *updates.whole):
        try:
            found = _target(network, place)[1].shape
        except (AttributeError, IndexError):
            raise _unfit("a tensor has no place in this network") from None
        if shapes.get(place) != found:
            raise _unfit("a tensor has another shape than its place")


def _target(network: nn.Module, place: Destination) -> tuple[nn.Module, Tensor]:
    """Return the module and the weight, or the rows of a fused one, that a tensor changes."""
    owner, _, leaf = place.parameter.rpartition(".")
    module = network.get_submodule(owner)
    weight: Tensor = getattr(module, leaf).detach()
    if place.expert is None:
        return module, weight
    rows = weight[place.expert]
    half = len(rows) // 2
    return module, {"down": rows, "gate": rows[:half], "up": rows[half:]}[str(place.part)]


def _require_plain(weight: Tensor) -> None:
    if not weight.is_floating_point():
        raise beyond_8_bits()


def beyond_8_bits() -> QuantizationError:
    """Return the refusal of an adapter that cannot stand beside weights in 8 bits."""
    return QuantizationError(
        "The adapter changes experts or whole weights that are in 8 bits.",
        remedy="Load the checkpoint that these weights were made from with it, or merge it there: "
        "longllava convert MODEL FOLDER --adapter ADAPTER.",
        code="quantization.adapter",
    )


def _unfit(found: str) -> CheckpointError:
    return CheckpointError(
        f"The adapter does not fit this network: {found}.",
        remedy="Load it with the base model that it was trained on.",
        code="adapter.mismatch",
    )
