"""Device and precision of a model: names to torch devices and dtypes."""

from typing import Final

import torch

from longllava_domains.errors import DeviceError, PolicyError

_NAMES: Final[dict[str, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def resolve_dtype(dtype: str | torch.dtype, automatic: torch.dtype) -> torch.dtype:
    """Return the torch dtype that a user asked for.

    Args:
        dtype: A floating torch dtype, its name (``"bfloat16"``, ``"bf16"``), or ``"auto"``.
        automatic: What ``"auto"`` stands for.

    Raises:
        PolicyError: There is no such precision.
    """
    if dtype == "auto":
        return automatic
    if isinstance(dtype, torch.dtype) and dtype in _NAMES.values():
        return dtype
    found = _NAMES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise PolicyError(
            f"A model cannot be held in dtype {str(dtype)!r}.",
            remedy=f"Use 'auto', a floating torch dtype, or one of {', '.join(_NAMES)}.",
            code="model.dtype",
        )
    return found


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Return the torch device, by default CUDA where it is available and else the CPU.

    Raises:
        DeviceError: No such device, or it is not usable here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise DeviceError(
            f"The device {str(device)!r} cannot be used here.",
            remedy="Use 'cpu', or run `longllava doctor` to see which devices there are.",
            code="device.absent",
        ) from error
    return chosen
