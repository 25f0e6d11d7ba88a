"""``device="auto"``: a network over all GPUs, and what does not fit there in the processor's memory.

accelerate decides by sizes, layer by layer, and moves what waits in the processor's memory to a
GPU whenever it is used: slow, but it runs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import dispatch_model, infer_auto_device_map

from longllava_domains.model.devices.placement import resolve_device
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration

AUTO = "auto"

DeviceMap = Mapping[str, Any]


def device_map_of(
    network: LongLlavaForConditionalGeneration,
    device: str | torch.device | None,
    dtype: torch.dtype,
) -> DeviceMap:
    """Return where each module goes.

    Args:
        network: The network, without weights.
        device: One device for all, or ``"auto"``.
        dtype: Precision of the weights that are not quantised.

    Raises:
        DeviceError: The device is not there.
    """
    if device != AUTO:
        return {"": resolve_device(device)}
    if not torch.cuda.is_available():
        return {"": torch.device("cpu")}
    found: DeviceMap = infer_auto_device_map(
        network, no_split_module_classes=sorted(network._no_split_modules), dtype=dtype
    )
    return found


def device_for(devices: DeviceMap, parameter: str) -> torch.device:
    """Return the device of a parameter: that of the closest module that the map names."""
    name = parameter
    while name and name not in devices:
        name = name.rpartition(".")[0]
    return torch.device(devices[name])


def dispatch(network: LongLlavaForConditionalGeneration, devices: DeviceMap) -> None:
    """Let a network that lies on several devices run: tensors follow the layers."""
    if len(set(devices.values())) > 1:
        # int8 weights are buffers: they must wait where their layer waits.
        dispatch_model(network, dict(devices), offload_buffers=True)


def devices_of(network: LongLlavaForConditionalGeneration) -> list[torch.device]:
    """Return the devices that a loaded network computes on: its own, or the GPUs it is spread over.

    Layers that wait in the processor's memory are computed on a GPU too.
    """
    spread = set(map(str, getattr(network, "hf_device_map", {}).values())) - {"cpu", "disk"}
    if not spread:
        return [network.input_device]
    # accelerate names GPUs by their number.
    return [torch.device(int(gpu) if gpu.isdigit() else gpu) for gpu in sorted(spread)]
