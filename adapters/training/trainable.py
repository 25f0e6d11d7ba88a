"""Parameters that a recipe trains: an adapter, the projector, or the language model."""

from typing import Any

from torch import nn

from longllava_domains.adapters.recipes.base import Recipe
from longllava_domains.adapters.training.lora import attach_lora
from longllava_domains.model import LongLlavaForConditionalGeneration


def make_trainable(
    network: LongLlavaForConditionalGeneration, recipe: Recipe, typed: tuple[str, ...] = ()
) -> tuple[Any, list[str]]:
    """Freeze what a recipe does not train, and put its adapter on.

    What is trained has float32: in 16 bits most steps would be rounded away.

    Args:
        network: The network; changed in place.
        recipe: The run.
        typed: Targets of the adapter that a user typed; each must match.

    Returns:
        What is trained (the network, or a peft model around it), and sentences about it.

    Raises:
        PolicyError: The adapter's targets do not fit the network.
    """
    if recipe.lora is not None:
        adapted, coverage = attach_lora(network, recipe.lora, typed=typed)
        _in_float32(adapted)
        return adapted, coverage.lines()
    whole = recipe.trained == "language_model"
    for name, parameter in network.named_parameters():
        projects = "multi_modal_projector." in name
        parameter.requires_grad_(projects or (whole and "vision_tower." not in name))
    _in_float32(network)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return network, [f"{trained:,} parameters are trained."]


def _in_float32(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
