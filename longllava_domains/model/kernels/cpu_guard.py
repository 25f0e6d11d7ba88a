"""The guard that keeps CUDA kernels away from CPU tensors.

transformers decides once, when its Jamba module is imported, whether to call `mamba_ssm` and
`causal_conv1d`: if they can be imported they are used, on every device, and a forward on the CPU
fails inside a CUDA kernel. Here the choice is made at each call, by the device of the tensors.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

from torch import Tensor
from transformers.models.jamba import modeling_jamba

# Functions that the stock Jamba mixer calls; each takes its main tensor first.
_FUNCTIONS: Final = (
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "mamba_selective_scan",
    "mamba_selective_state_update",
)

PickedKernel = Callable[..., Any]


def keep_cuda_kernels_off_cpu() -> None:
    """Make transformers' Jamba use its own torch functions wherever tensors are on the CPU.

    On other devices nothing changes. Calling it again changes nothing more.
    """
    for name in _FUNCTIONS:
        picked = getattr(modeling_jamba, name)
        if not hasattr(picked, "on_cpu"):
            setattr(modeling_jamba, name, _by_device(picked))


def _by_device(picked: PickedKernel) -> PickedKernel:
    # transformers wraps its torch function around whatever it picked, and keeps it there.
    on_cpu: PickedKernel = picked.__wrapped__  # type: ignore[attr-defined]

    @functools.wraps(picked)
    def by_device(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        chosen = on_cpu if tensor.device.type == "cpu" else picked
        return chosen(tensor, *args, **kwargs)

    by_device.on_cpu = on_cpu  # type: ignore[attr-defined]
    return by_device
