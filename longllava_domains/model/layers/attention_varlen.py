"""Attention of packed rows by FlashAttention's kernel for sequences of various lengths.

flash-attn 2 (``flash_attn.flash_attn_varlen_func``) takes the tokens of all samples one after
another, and where each sample ends; so one launch serves a whole batch of packed rows, where
torch's attention needs one for each sample. The kernel itself was never run by this project: the
tests prove what is said here to it, over a function of torch with its signature and meaning.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import torch
from torch import Tensor

# (q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, causal=...) -> read, where q
# and what is read are (tokens, heads, head size), and k and v have the key/value heads.
VarlenAttention = Callable[..., Tensor]

# What flash-attn 2 was built for: Ampere and later, and heads no larger than this.
_LEAST_CAPABILITY: Final = (8, 0)
_LARGEST_HEAD: Final = 256


def varlen_for(query: Tensor) -> VarlenAttention | None:
    """Return flash-attn's kernel where it can run on a query; None where torch's must.

    Args:
        query: (rows, heads, tokens, head size).
    """
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        return None
    if query.shape[3] > _LARGEST_HEAD:
        return None
    if torch.cuda.get_device_capability(query.device) < _LEAST_CAPABILITY:
        return None
    return _installed()


def attend_varlen(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    bounds: Sequence[Sequence[tuple[int, int]]],
    varlen: VarlenAttention,
) -> Tensor:
    """Attend causally inside each packed sample, all samples of all rows in one call.

    Args:
        query: (rows, heads, tokens, head size).
        keys: (rows, key/value heads, tokens, head size); fewer heads serve consecutive queries'.
        values: Shaped like `keys`.
        bounds: For each row, (start, end) of every sample, covering the row in order.
        varlen: ``flash_attn_varlen_func``, or what behaves like it.

    Returns:
        Shaped like `query`.
    """
    rows, heads, tokens, size = query.shape
    ends = [row * tokens + end for row, spans in enumerate(bounds) for _, end in spans]
    cu_seqlens = torch.tensor([0, *ends], dtype=torch.int32, device=query.device)
    longest = max(end - start for spans in bounds for start, end in spans)
    q, k, v = (part.transpose(1, 2).flatten(0, 1) for part in (query, keys, values))
    read = varlen(q, k, v, cu_seqlens, cu_seqlens, longest, longest, causal=True)
    return read.view(rows, tokens, heads, size).transpose(1, 2)


@cache
def _installed() -> VarlenAttention | None:
    """Import the kernel once; a build that does not match torch fails here, too."""
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None
    found: VarlenAttention = flash_attn_varlen_func
    return found
