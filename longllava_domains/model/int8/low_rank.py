"""`LoraBesideInt8`: an 8-bit linear layer with a low-rank update beside it, in its own precision.

Merged into 8 bits, an update is rounded with the weight and mostly lost; beside it, it is exact.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear

from longllava_domains.errors import QuantizationError
from longllava_domains.model.int8.linear import Int8Linear


class LoraBesideInt8(Int8Linear):
    """`Int8Linear` plus ``up @ down``; made in place by `add_beside`.

    Attributes:
        lora_down: (rank, in).
        lora_up: (out, rank), the scale of the adapter included.
    """

    lora_down: Tensor
    lora_up: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Multiply; (..., in) to (..., out)."""
        return super().forward(x) + linear(linear(x, self.lora_down), self.lora_up)


def add_beside(layer: Int8Linear, down: Tensor, up: Tensor, like: Tensor) -> None:
    """Put an update beside an 8-bit layer; only its class changes and two buffers come.

    Args:
        layer: The layer.
        down: (rank, in).
        up: (out, rank), scaled.
        like: A tensor in the network's precision, on its device.
    """
    layer.__class__ = LoraBesideInt8
    layer.register_buffer("lora_down", down.to(like), persistent=False)
    layer.register_buffer("lora_up", up.to(like), persistent=False)


def require_nothing_beside(network: nn.Module) -> None:
    """Refuse to write a network with updates beside its weights: they would be left out.

    Raises:
        QuantizationError: There is one.
    """
    held: list[Any] = [m for m in network.modules() if isinstance(m, LoraBesideInt8)]
    if held:
        raise QuantizationError(
            f"{len(held)} layers have an adapter beside their 8-bit weights, which would be left out.",
            remedy="Merge it into the plain checkpoint first: longllava convert MODEL FOLDER "
            "--adapter ADAPTER; then convert that with --quantization int8.",
            code="quantization.adapter",
        )
