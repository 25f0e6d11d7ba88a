"""Experts in 8 bits as a grouped product of our own: one Triton launch for all experts.

Token-expert pairs are sorted by expert, and a small table says which expert each block of rows
belongs to; an expert without tokens has no block and costs nothing. Inside the product a tile of
int8 weights is widened, which is exact (-127..127 fits bfloat16), summed in float32, and the
scale of each output is applied to the sum: no dequantised weight ever reaches memory.
Proved against dequantised products in Triton's interpreter; compiled for sm_80 and sm_90 in the
tests.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Rows of a block where experts have few tokens each (decoding) and many (prefill). The smaller
# one is the least that tensor cores take.
FEW_ROWS = 16
MANY_ROWS = 64
COLUMNS_PER_TILE = 128
INPUTS_PER_STEP = 64


@triton.jit  # type: ignore[untyped-decorator]
def grouped_product_kernel(  # type: ignore[no-untyped-def]
    x_ptr, source_ptr, weight_ptr, scale_ptr, blocks_ptr, target_ptr, y_ptr,
    outputs, inputs,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Multiply one block of rows by COLUMNS outputs of its expert; grid (blocks, strips)."""
    entry = blocks_ptr + tl.program_id(0) * 3
    expert = tl.load(entry).to(tl.int64)  # 18 experts of the 53B's width pass 2^31 weights
    first, end = tl.load(entry + 1), tl.load(entry + 2)
    if first >= end:
        return
    pair = first + tl.arange(0, ROWS)
    within = pair < end
    source = tl.load(source_ptr + pair, mask=within, other=0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    present = column < outputs
    row_at = source[:, None] * inputs
    column_at = (expert * outputs + column)[None, :] * inputs
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, inputs, DEPTH):
        k = start + tl.arange(0, DEPTH)
        deep = k < inputs
        x = tl.load(x_ptr + row_at + k[None, :], mask=within[:, None] & deep[None, :], other=0.0)
        codes = tl.load(
            weight_ptr + column_at + k[:, None], mask=deep[:, None] & present[None, :], other=0
        )
        total = tl.dot(x, codes.to(x.dtype), total)
    scale = tl.load(scale_ptr + expert * outputs + column, mask=present, other=0.0)
    target = tl.load(target_ptr + pair, mask=within, other=0).to(tl.int64)
    y_at = target[:, None] * outputs + column[None, :]
    tl.store(y_ptr + y_at, total * scale[None, :], mask=within[:, None] & present[None, :])


class Groups(NamedTuple):
    """Token-expert pairs, sorted by expert.

    Attributes:
        order: int64 (pairs,), the pair at each place of the sorted sequence.
        blocks: int32 (blocks, 3): expert, first place, and the place after its last row. Entries
            that no expert needed come last and hold no rows.
        rows: Rows of a block at most.
    """

    order: Tensor
    blocks: Tensor
    rows: int


def sort_by_expert(chosen: Tensor, experts: int) -> Groups:
    """Sort pairs by expert and cut each expert's into blocks, without waiting for the device.

    Args:
        chosen: (pairs,), the expert of each pair.
        experts: How many there are.

    Returns:
        The groups. The table is as long as the worst case needs, at most ``experts`` entries too many.
    """
    pairs = len(chosen)
    rows = FEW_ROWS if pairs <= FEW_ROWS * experts else MANY_ROWS
    in_order, order = torch.sort(chosen, stable=True)
    numbers = torch.arange(experts + 1, device=chosen.device, dtype=in_order.dtype)
    begins = torch.searchsorted(in_order, numbers)
    ends = begins[1:]
    blocks_up_to = ((ends - begins[:-1] + rows - 1) // rows).cumsum(0)
    # Only experts with a pair have a last block that may be incomplete.
    most = (pairs + min(experts, pairs) * (rows - 1)) // rows
    block = torch.arange(most, device=chosen.device)
    expert = torch.searchsorted(blocks_up_to, block, right=True).clamp_(max=experts - 1)
    before = torch.nn.functional.pad(blocks_up_to, (1, 0))[expert]
    first = begins[expert] + (block - before) * rows
    end = torch.minimum(first + rows, ends[expert])
    return Groups(order, torch.stack([expert, first, end], dim=1).int(), rows)


def grouped_product(
    x: Tensor, weight: Tensor, scale: Tensor, groups: Groups, source: Tensor, target: Tensor
) -> Tensor:
    """Multiply rows by the int8 weights of their experts.

    Args:
        x: (any, K), bfloat16 or float16.
        weight: int8 (E, N, K).
        scale: float32 (E, N).
        groups: Which places of the sorted sequence belong to which expert.
        source: int64 (pairs,), the row of `x` that each place reads.
        target: int64 (pairs,), a permutation: the row of the result that each place writes.

    Returns:
        (pairs, N) in the precision of `x`.
    """
    outputs, inputs = weight.shape[1:]
    y = x.new_empty(len(source), outputs)
    grid = (len(groups.blocks), triton.cdiv(outputs, COLUMNS_PER_TILE))
    # Triton launches on the current device.
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        grouped_product_kernel[grid](
            x.contiguous(), source, weight, scale, groups.blocks, target, y, outputs, inputs,
            ROWS=groups.rows, COLUMNS=COLUMNS_PER_TILE, DEPTH=INPUTS_PER_STEP,
        )  # fmt: skip
    return y


def grouped_experts(
    experts: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Run each token through its experts; arguments and result as in `int8_experts`."""
    tokens, k = top_k_index.shape
    groups = sort_by_expert(top_k_index.flatten(), experts.num_experts)
    place = torch.arange(tokens * k, device=hidden_states.device)
    inner = _gated(experts, hidden_states, groups, place, k)
    down = grouped_product(
        inner, experts.down_proj, experts.down_proj_scale, groups, place, groups.order
    )
    # Back in the order of the tokens, so the sum has one order too: no atomics.
    weighted = down.view(tokens, k, -1) * top_k_weights[:, :, None]
    return weighted.sum(dim=1).to(hidden_states.dtype)


def _gated(experts: Any, x: Tensor, groups: Groups, place: Tensor, k: int) -> Tensor:
    """Return act(gate) * up of every pair, sorted; gate and up are freed on return."""
    gate, up = grouped_product(
        x, experts.gate_up_proj, experts.gate_up_proj_scale, groups, groups.order // k, place
    ).chunk(2, dim=-1)
    inner: Tensor = experts.act_fn(gate).mul_(up)
    return inner
