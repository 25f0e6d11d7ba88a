"""Boundaries of the samples in a packed row of tokens.

Three spellings of the same thing: a *segment id* per token, cumulative lengths (`cu_seqlens`)
of one row, and *resets*, true at the first token of every segment, which is what the scan and
the convolution act on.
"""

from itertools import pairwise

import torch
from torch import Tensor

from longllava_domains.errors import PolicyError


def segment_ids_from_lengths(cu_seqlens: Tensor, tokens: int) -> Tensor:
    """Number the segments of one row.

    Args:
        cu_seqlens: (segments + 1,) integers: 0, then the end of each segment; ascending.
        tokens: Length of the row.

    Returns:
        int64 (1, tokens), counting from 0.

    Raises:
        PolicyError: The lengths do not start at 0, do not ascend or do not end at `tokens`.
    """
    bounds = [int(bound) for bound in cu_seqlens.flatten().tolist()]
    ascending = all(left < right for left, right in pairwise(bounds))
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != tokens or not ascending:
        raise PolicyError(
            f"Cumulative lengths must ascend from 0 to the {tokens} tokens of the row.",
            remedy="Pass cu_seqlens of one row, as (0, end of sample 1, ..., end of the row).",
            code="packing.lengths",
            facts={"tokens": tokens, "segments": max(len(bounds) - 1, 0)},
        )
    lengths = torch.tensor(bounds, device=cu_seqlens.device).diff()
    numbers = torch.arange(len(bounds) - 1, device=cu_seqlens.device)
    return numbers.repeat_interleave(lengths).unsqueeze(0)


def resets_from_ids(segment_ids: Tensor) -> Tensor:
    """Mark the first token of every segment: bool (rows, tokens), the first token always true."""
    first = torch.ones_like(segment_ids[:, :1], dtype=torch.bool)
    return torch.cat([first, segment_ids[:, 1:] != segment_ids[:, :-1]], dim=1)


def segment_bounds(resets: Tensor) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return, for each row, the (start, end) of every segment as Python integers."""
    tokens = resets.shape[1]
    rows = []
    for row in resets.cpu():
        starts = [0, *(start for start in row.nonzero().flatten().tolist() if start > 0)]
        rows.append(tuple(zip(starts, [*starts[1:], tokens], strict=True)))
    return tuple(rows)


def first_visible(resets: Tensor, reach: int) -> Tensor:
    """Return the earliest token that a causal filter of the given reach may read at each token.

    Args:
        resets: bool (rows, tokens).
        reach: How many tokens before the row (a carried state) the first segment may read.

    Returns:
        int64 (rows, tokens): the start of the token's segment, or ``-reach`` before any reset.
    """
    positions = torch.arange(resets.shape[1], device=resets.device)
    return torch.where(resets, positions, -reach).cummax(dim=1).values
