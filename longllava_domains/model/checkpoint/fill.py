"""Filling a network that has no memory yet, tensor by tensor, with finite numbers only."""

import torch
from torch import Tensor, nn

from longllava_domains.errors import CheckpointError
from longllava_domains.model.checkpoint.names import Destination
from longllava_domains.model.kernels.int8_matmul import quantize_rows


def fill(
    network: nn.Module,
    destination: Destination,
    tensor: Tensor,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Copy one tensor to its destination, in 8 bits where the network is, rounded on arrival.

    Args:
        network: Its weights may still be without memory.
        destination: Where the tensor goes.
        tensor: As it is stored.
        dtype: Precision of what is not in 8 bits.
        device: Where the destination's memory is, or is made.

    Raises:
        CheckpointError: The tensor holds NaN or infinity, or does in that precision.
    """
    owner, _, leaf = destination.parameter.rpartition(".")
    module = network.get_submodule(owner)
    values = {leaf: tensor}
    if getattr(module, leaf).dtype == torch.int8 and tensor.dtype != torch.int8:
        _require_finite(tensor, tensor, destination)
        codes, scale = quantize_rows(tensor.to(device))
        values = {leaf: codes, f"{leaf}_scale": scale}
    for name, value in values.items():
        memory = _expert_slice(_memory_of(module, name, dtype, device), destination)
        memory.copy_(value)
        _require_finite(memory, tensor, destination)


def _require_finite(held: Tensor, stored: Tensor, destination: Destination) -> None:
    """Refuse a weight that is no number; `held` is `stored` in the network's precision."""
    if not held.is_floating_point() or bool(torch.isfinite(held).all()):
        return
    sound = stored.is_floating_point() and bool(torch.isfinite(stored).all())
    precision = str(held.dtype).removeprefix("torch.")
    raise CheckpointError(
        f"The weight {destination.parameter} "
        + (f"is too large for {precision}." if sound else "holds NaN or infinity."),
        remedy="Load it with dtype='bfloat16'."
        if sound
        else "Use a sound checkpoint; this one is damaged or its training diverged.",
        code="checkpoint.not_finite",
    )


def _memory_of(module: nn.Module, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the memory of a weight; the first part of a fused one allocates all."""
    memory: Tensor = getattr(module, name)
    if memory.device.type == "meta":
        if isinstance(memory, nn.Parameter):
            memory = nn.Parameter(torch.empty(memory.shape, dtype=dtype, device=device))
        else:  # int8 weights and their scales keep their own precision
            memory = torch.empty(memory.shape, dtype=memory.dtype, device=device)
        setattr(module, name, memory)
    return memory.data


def _expert_slice(memory: Tensor, destination: Destination) -> Tensor:
    """Return the rows of a fused weight, or of its scales, that one tensor of a checkpoint fills."""
    if destination.expert is None:
        return memory
    memory = memory[destination.expert]
    if destination.part == "down":
        return memory
    half = len(memory) // 2
    return memory[:half] if destination.part == "gate" else memory[half:]
