"""Fused attention that also returns how much weight it summed, so that pieces can be added up.

Public attention functions of torch keep that logarithm to themselves; the operators below them do
not. Those of a GPU were never run by this project: before the first use they are run there against
float64, and where they fail the pieces are joined instead.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import torch
from torch import Tensor

from longllava_domains.model.layers.kv_storage import KeysValues

# (query, keys, values, scale, is_causal) -> read, shaped like the query, and the log of the summed
# weights, float32 (rows, heads, tokens) at least. Keys have as many heads as queries.
Flash = Callable[[Tensor, Tensor, Tensor, float, bool], tuple[Tensor, Tensor]]

_LARGEST_HEAD: Final = 256
_LEAST_CAPABILITY: Final = (8, 0)


def _on_cpu(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> tuple[Tensor, Tensor]:
    read, mass = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, is_causal=causal, scale=scale
    )
    return read, mass


def _flash(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> tuple[Tensor, Tensor]:
    read, mass, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        q, k, v, 0.0, causal, False, scale=scale
    )
    return read, mass


def _efficient(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool
) -> tuple[Tensor, Tensor]:
    read, mass, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        q, k, v, None, True, 0.0, causal, scale=scale
    )
    return read, mass[:, :, : q.shape[2]]  # it rounds up the number of tokens


KERNELS: Final[Mapping[str, Flash]] = {"cpu": _on_cpu, "flash": _flash, "efficient": _efficient}


def flash(
    query: Tensor, source: KeysValues, scale: float, *, is_causal: bool
) -> tuple[Tensor, Tensor]:
    """Return what is read and the log of the summed weights (rows, heads, tokens)."""
    return KERNELS[_kernel_for(query)](query, *source, scale, is_causal)


def reads_in_place(query: Tensor) -> bool:
    """Return True where pieces need not be joined for a query (rows, heads, tokens, head size)."""
    return query.device.type == "cpu" or _proved(query.device, query.dtype, query.shape[3])


def _kernel_for(query: Tensor) -> str:
    if query.device.type == "cpu":
        return "cpu"
    half = query.dtype in (torch.float16, torch.bfloat16) and query.shape[3] <= _LARGEST_HEAD
    recent = half and torch.cuda.get_device_capability(query.device) >= _LEAST_CAPABILITY
    return "flash" if recent else "efficient"


@cache
def _proved(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Run the kernel once on a piece that lies in a larger tensor, as a cache's tail does."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 2, 3, head_size, generator=generator)
    keys, values = torch.randn(2, 1, 2, 80, head_size, generator=generator)
    scores = query.double() @ keys[:, :, :70].double().transpose(2, 3) * head_size**-0.5
    exact = scores.softmax(-1) @ values[:, :, :70].double(), scores.logsumexp(-1)
    try:
        piece = KeysValues(*(part.to(device, dtype)[:, :, :70] for part in (keys, values)))
        found = flash(query.to(device, dtype), piece, head_size**-0.5, is_causal=False)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    tolerance = 16 * torch.finfo(dtype).eps
    pairs = zip(found, exact, strict=True)
    return all(
        bool((ours.cpu().double() - theirs).abs().max() <= tolerance * theirs.abs().max())
        for ours, theirs in pairs
    )
