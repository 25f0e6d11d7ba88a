"""From a memory to what fits in it: images, slice spacing, tile budgets; and refusal before a run."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.budget.known_models import network_of
from longllava_domains.model.budget.plan import TEXT_TOKENS_PER_VIEW, Budget, Request, plan
from longllava_domains.model.devices.device_map import devices_of
from longllava_domains.model.devices.free_memory import RESERVE, free_bytes
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.prefill import StepSizes
from longllava_domains.units import human_bytes
from longllava_domains.vision_language import load_otherwise

_MOST_VIEWS: Final = 1_000_000


@dataclass(frozen=True)
class FittingPolicies:
    """The finest policies for a study and a scene that fit in a memory.

    Attributes:
        views: The largest number of views.
        tokens: Tokens of a prompt with that number of views.
        slice_spacing_mm: The closest spacing at which slices over the extent fit, rounded up to
            0.5 mm; for `ct.SlicePolicy(spacing_mm=..., max_views=views)`. None without an extent.
        grid_max_tokens: For `remote_sensing.GridPolicy(max_tokens=...)`.
    """

    views: int
    tokens: int
    slice_spacing_mm: float | None
    grid_max_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the policies as JSON."""
        return dataclasses.asdict(self)


def largest_views(
    network: LongLlavaForConditionalGeneration,
    request: Request,
    memory_bytes: float,
    *,
    device: str = "cuda",
    loaded: bool = False,
) -> int:
    """Return the largest number of views whose plan fits in a memory; 0 where not even one does.

    Args:
        network: The network, with weights or without.
        request: Everything but the number of views.
        memory_bytes: What there is; 3 % of it are kept free.
        device: ``"cpu"`` or ``"cuda"``.
        loaded: True where the weights are in memory already and `memory_bytes` is what is left.
    """

    def fits(views: int) -> bool:
        budget = plan(network, dataclasses.replace(request, views=views), device=device)
        return _needed(budget, loaded) <= memory_bytes * (1 - RESERVE)

    if not fits(1):
        return 0
    low, high = 1, 2
    while high < _MOST_VIEWS and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def fitting_policies(
    network: LongLlavaForConditionalGeneration,
    request: Request,
    memory_bytes: float,
    *,
    device: str = "cuda",
    extent_mm: float | None = None,
) -> FittingPolicies:
    """Turn a memory into the finest slice spacing and the largest tile budget.

    Args:
        network: The network, with weights or without.
        request: Everything but the number of views.
        memory_bytes: What there is.
        device: ``"cpu"`` or ``"cuda"``.
        extent_mm: Length of the volume along its slice normal.

    Raises:
        MemoryBudgetError: Not even one view fits.
    """
    views = largest_views(network, request, memory_bytes, device=device)
    if not views:
        one = plan(network, dataclasses.replace(request, views=1), device=device)
        raise _too_large(one, one.peak, memory_bytes, 0)
    tokens = plan(network, dataclasses.replace(request, views=views), device=device).tokens
    spacing = None
    if extent_mm is not None:
        spacing = max(0.5, math.ceil(2 * extent_mm / max(views - 1, 1)) / 2)
    return FittingPolicies(views, tokens, spacing, tokens)


def require_fit(
    model: str | Path | LongLlavaForConditionalGeneration,
    request: Request,
    *,
    precision: str = "bfloat16",
    device: str | torch.device = "cpu",
    memory_bytes: float | None = None,
) -> Budget:
    """Refuse work that would run out of memory, before it starts.

    Args:
        model: What is about to be loaded (``"9b"``, ``"53b"``, ``"demo"``, a folder or a hub id);
            or a network that is loaded already, whose weights are then not counted again.
        request: What is to be run.
        precision: As in `network_of`; of no account for a loaded network.
        device: Where it runs.
        memory_bytes: What there is; by default what is free now.

    Returns:
        The budget, where it fits.

    Raises:
        MemoryBudgetError: It does not fit; ``facts`` hold ``needed_bytes``, ``available_bytes``
            and ``largest_views``.
    """
    target = torch.device(device)
    kind = "cpu" if target.type == "cpu" else "cuda"
    available = free_bytes(target) if memory_bytes is None else memory_bytes
    loaded = isinstance(model, LongLlavaForConditionalGeneration)
    network = model if loaded else network_of(model, precision)
    assert isinstance(network, LongLlavaForConditionalGeneration)
    budget = plan(network, request, device=kind)
    needed = _needed(budget, loaded)
    if needed > available * (1 - RESERVE):
        most = largest_views(network, request, available, device=kind, loaded=loaded)
        raise _too_large(budget, needed, available, most)
    return budget


def fitting_steps(network: LongLlavaForConditionalGeneration, request: Request) -> StepSizes:
    """Return the sizes of steps with which a loaded network can run a request.

    They are the request's own, halved until its plan fits in what is free now where the network
    lies, as they would be halved after a GPU ran out of memory; a processor ends the process
    instead of asking again. Views and precision are never changed.

    Args:
        network: Loaded; its weights are in memory already and not counted.
        request: What is to be run.

    Raises:
        MemoryBudgetError: Not even the smallest steps fit; facts as of `require_fit`.
    """
    places = devices_of(network)
    available = sum(map(free_bytes, places))
    kind = "cpu" if places[0].type == "cpu" else "cuda"
    steps = StepSizes.for_device(kind, request.chunk_tokens, request.view_batch)
    while True:
        stepped = dataclasses.replace(
            request, chunk_tokens=steps.chunk_tokens, view_batch=steps.view_batch
        )
        budget = plan(network, stepped, device=kind)
        if budget.running <= available * (1 - RESERVE):
            return steps
        if steps.is_smallest:
            most = largest_views(network, stepped, available, device=kind, loaded=True)
            raise _too_large(budget, budget.running, available, most)
        steps = steps.halved()


def _needed(budget: Budget, loaded: bool) -> int:
    return budget.running if loaded else budget.peak


def _too_large(
    budget: Budget, needed: float, available: float, most_views: int
) -> MemoryBudgetError:
    request = budget.request
    each = (budget.tokens - request.text_tokens) // max(request.views, 1) - TEXT_TOKENS_PER_VIEW
    otherwise = load_otherwise(budget.precision)
    if not request.views:
        return _too_long(budget, needed, available, otherwise)
    remedy = (
        f"Show at most {most_views} views at {each} tokens each, or {otherwise}"
        if most_views
        else otherwise.capitalize()
    )
    return MemoryBudgetError(
        f"{request.views} views in {budget.precision} need {human_bytes(needed)}; "
        f"{_there(needed, available)}.",
        remedy=remedy,
        code="memory.budget",
        facts={
            "precision": budget.precision,
            "needed_bytes": int(needed),
            "available_bytes": int(available),
            "largest_views": most_views,
            "weight_bytes": budget.weight_bytes,
            "key_value_bytes": budget.key_values,
        },
    )


def _there(needed: float, available: float) -> str:
    """Say what there is, and what is kept of it where it would be enough without that."""
    kept = f", of which {RESERVE:.0%} are kept free" if needed <= available else ""
    return f"{human_bytes(available)} are there{kept}"


def _too_long(budget: Budget, needed: float, available: float, otherwise: str) -> MemoryBudgetError:
    asked, remedy = (
        f"A prompt of {budget.tokens} tokens",
        "Ask in fewer words or for a shorter answer",
    )
    if budget.request.answer_tokens > budget.tokens:
        asked = f"An answer of up to {budget.request.answer_tokens:,} tokens"
        remedy = "Lower max_new_tokens"
    return MemoryBudgetError(
        f"{asked} in {budget.precision} needs {human_bytes(needed)} more; "
        f"{_there(needed, available)}.",
        remedy=f"{remedy}, or {otherwise}",
        code="memory.budget",
        facts={
            "precision": budget.precision,
            "needed_bytes": int(needed),
            "available_bytes": int(available),
            "tokens": budget.tokens,
        },
    )
