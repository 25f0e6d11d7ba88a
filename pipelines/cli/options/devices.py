"""The option --devices: GPUs by number, or all that there are."""

import os
from typing import Final

from longllava_domains.errors import PolicyError

_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


def gpus_of(devices: str) -> list[str]:
    """Return the numbers of GPUs that a user names; for ``all``, of every one that may be used.

    Args:
        devices: ``"all"``, or numbers with commas between them; empty for none.

    Raises:
        PolicyError: All were asked for, and there is none.
    """
    if devices != "all":
        return [device.strip() for device in devices.split(",") if device.strip()]
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise PolicyError(
            "No GPU is found on this machine.",
            remedy="Leave out --devices to run on the processor.",
            code="cli.devices",
        )
    # A scheduler that gives a job some of the GPUs names them here: those, not the first ones.
    given = [each.strip() for each in os.environ.get(_VISIBLE, "").split(",") if each.strip()]
    return given[:count] or [str(number) for number in range(count)]
