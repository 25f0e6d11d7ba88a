"""Refusal before loading: weights that do not fit in the memory that is free."""

import copy

import torch

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.devices.device_map import DeviceMap
from longllava_domains.model.devices.free_memory import RESERVE, free_bytes
from longllava_domains.model.int8.quantize import quantize_network
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.units import human_bytes


def require_weights_fit(
    network: LongLlavaForConditionalGeneration, dtype: torch.dtype, devices: DeviceMap
) -> None:
    """Refuse weights that would run out of memory while they load.

    Where a network is spread over devices, accelerate has chosen them by what is free.

    Args:
        network: Without weights (on the meta device), quantised as it will be loaded.
        dtype: Precision of everything that is not quantised.
        devices: Where each part goes.

    Raises:
        MemoryBudgetError: They do not fit; ``facts`` hold ``needed_bytes``, ``available_bytes``
            and ``int8_bytes``, what the same weights take in 8 bits.
    """
    if len(set(devices.values())) > 1:
        return
    available = int(free_bytes(torch.device(devices[""])) * (1 - RESERVE))
    needed = _weight_bytes(network, dtype)
    if needed <= available:
        return
    smaller = copy.deepcopy(network)
    if network.config.quantization is None:
        quantize_network(smaller, "int8")
    in_int8 = _weight_bytes(smaller, dtype)
    otherwise = "on a device with more free memory; `longllava plan` says what each model needs."
    raise MemoryBudgetError(
        f"The weights take {human_bytes(needed)}; {human_bytes(available)} are free for them.",
        remedy=(
            f'Load them with quantization="int8" ({human_bytes(in_int8)}), or {otherwise}'
            if in_int8 < needed and in_int8 <= available
            else f"Load them {otherwise}"
        ),
        code="memory.weights",
        facts={"needed_bytes": needed, "available_bytes": available, "int8_bytes": in_int8},
    )


def _weight_bytes(network: LongLlavaForConditionalGeneration, dtype: torch.dtype) -> int:
    """Return what the weights take: 8-bit weights and their scales are buffers."""
    floating = sum(weight.numel() for weight in network.parameters()) * dtype.itemsize
    return int(floating + sum(buffer.nbytes for buffer in network.buffers()))
