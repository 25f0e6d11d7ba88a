"""Adapters: which layers of the language model they sit on, and whether those learn.

Targets are chosen by regular expression on the language model alone. ``dt_proj`` is never one:
the mixer reads its weight directly, so an adapter on it would change nothing. The vision tower
stays as it is; the projector is trained whole, and the output head where that is asked for.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from longllava_domains.adapters.recipes.lora_settings import TARGETS, LoraSettings
from longllava_domains.adapters.training.sharding import whole_tensor
from longllava_domains.errors import PolicyError, TrainingError
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.model.network.parameter_groups import group_of

_LAYER: Final = r"model\.language_model\.layers\.\d+\."
_PROJECTOR: Final = "multi_modal_projector"
_HEAD: Final = "lm_head"


@dataclass(frozen=True)
class AdapterCoverage:
    """Matrices that an adapter sits on.

    Attributes:
        adapted: Part of the network -> (tensors with an adapter, tensors of that part).
        left_out: Names of groups that this architecture does not have.
        trained_parameters: Numbers that the optimizer changes.
    """

    adapted: dict[str, tuple[int, int]]
    left_out: tuple[str, ...]
    trained_parameters: int

    def lines(self) -> list[str]:
        """Say it in sentences."""
        found = [
            f"{part}: {some} of {every} matrices have an adapter."
            for part, (some, every) in self.adapted.items()
        ]
        if self.left_out:
            found.append(f"This architecture has no {', '.join(self.left_out)}.")
        return [*found, f"{self.trained_parameters:,} parameters are trained."]


@dataclass(frozen=True)
class _Matrix:
    """A matrix that could have an adapter: a module's weight, or a bare parameter of experts."""

    name: str
    part: str
    is_module: bool


def attach_lora(
    network: LongLlavaForConditionalGeneration,
    settings: LoraSettings,
    *,
    typed: Iterable[str] = (),
) -> tuple[Any, AdapterCoverage]:
    """Put an adapter on a network.

    Args:
        network: The network; its own parameters are frozen.
        settings: The adapter.
        typed: Those of the targets that a user typed: each must match something. Others are left
            out where the architecture lacks them.

    Returns:
        The peft model, and what the adapter sits on.

    Raises:
        PolicyError: A typed target matches nothing, or none does; one names the tower or
            ``dt_proj``; dropout on experts; or a pattern is no regular expression.
    """
    from peft import LoraConfig, get_peft_model

    matrices = list(_matrices(network))
    chosen, left_out = _choose(matrices, settings.targets, set(typed))
    experts = [matrix.name for matrix in chosen if not matrix.is_module]
    if experts and settings.dropout:
        raise PolicyError(
            "Adapters on experts cannot have dropout.",
            remedy="Set lora.dropout to 0, or leave experts out of lora.targets.",
            code="lora.dropout",
        )
    whole = [
        name
        for name, is_wished in ((_PROJECTOR, settings.projector), (_HEAD, settings.head))
        if is_wished
    ]
    linears = [re.escape(matrix.name) for matrix in chosen if matrix.is_module]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(linears) if linears else [],
        target_parameters=sorted({name.split("feed_forward.")[1] for name in experts}) or None,
        modules_to_save=whole or None,
    )
    adapted = get_peft_model(network, config)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    parts = dict.fromkeys(matrix.part for matrix in matrices)
    counts = {
        part: (_count(chosen, part), _count(matrices, part))
        for part in parts
        if _count(chosen, part)
    }
    return adapted, AdapterCoverage(counts, left_out, trained)


def require_gradients(model: nn.Module) -> None:
    """Refuse to go on where an adapter got no gradient: it would be trained for nothing.

    Args:
        model: After its first backward pass. The second matrix of a pair is looked at; the first
            one's gradient is zero as long as the second is.

    Raises:
        TrainingError: An adapter has no gradient, or zeros alone.
    """
    idle = [
        name
        for name, parameter in model.named_parameters()
        if ".lora_B." in name
        and parameter.requires_grad
        and (parameter.grad is None or not bool(torch.count_nonzero(whole_tensor(parameter.grad))))
    ]
    if idle:
        raise TrainingError(
            f"{len(idle)} adapter matrices got no gradient (such as {idle[0]}).",
            remedy="Leave these targets out: the network does not use them as modules.",
            code="lora.gradient",
            facts={"idle": len(idle)},
        )


def _matrices(network: LongLlavaForConditionalGeneration) -> Iterable[_Matrix]:
    """Yield what may have an adapter, with names below the network."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and re.match(_LAYER, name):
            yield _Matrix(name, group_of(f"{name}.weight"), is_module=True)
    for name, parameter in network.named_parameters():
        if re.match(_LAYER, name) and ".experts." in name and parameter.ndim == 3:
            yield _Matrix(name, group_of(name), is_module=False)


def _choose(
    matrices: Sequence[_Matrix], targets: Sequence[str], typed: set[str]
) -> tuple[list[_Matrix], tuple[str, ...]]:
    chosen: dict[str, _Matrix] = {}
    left_out = []
    for target in targets:
        pattern = _compiled(TARGETS.get(target, target))
        found = [matrix for matrix in matrices if pattern.fullmatch(_below(matrix.name))]
        if any("dt_proj" in matrix.name for matrix in found):
            raise PolicyError(
                "The target reaches dt_proj, whose weight is read directly: an adapter there "
                "would change nothing.",
                remedy=f"Name one of {', '.join(TARGETS)}, or a narrower pattern.",
                code="lora.idle_target",
            )
        if not found and target in typed:
            raise PolicyError(
                "A target that was asked for matches nothing in the language model.",
                remedy=f"Name one of {', '.join(TARGETS)}, or a pattern such as mamba.in_proj.",
                code="lora.target",
            )
        if not found:
            left_out.append(target)
        chosen |= {matrix.name: matrix for matrix in found}
    if not chosen:
        raise PolicyError(
            "No target of the adapter is in this network.",
            remedy=f"Name some of {', '.join(TARGETS)}.",
            code="lora.target",
        )
    return list(chosen.values()), tuple(left_out)


def _below(name: str) -> str:
    return re.sub(_LAYER, "", name, count=1)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        raise PolicyError(
            "A target of the adapter is no regular expression.",
            remedy=f"Name one of {', '.join(TARGETS)}, or a pattern such as mamba.in_proj.",
            code="lora.pattern",
        ) from None


def _count(matrices: Iterable[_Matrix], part: str) -> int:
    return sum(matrix.part == part for matrix in matrices)
