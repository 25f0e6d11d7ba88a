"""Run the grouped product of experts in Triton's interpreter, print the largest errors as JSON.

A program of its own: Triton reads TRITON_INTERPRET when it is imported. Float16 and float32
stand for bfloat16, whose bit patterns the interpreter would multiply as integers; the kernel is
the same, and int8 fits all three exactly.
"""

import json
from collections import defaultdict

import torch
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from longllava_domains.model.kernels.int8_experts import triton as int8_experts_triton
from longllava_domains.model.kernels.int8_experts.accuracy import experts_error
from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.int8_experts.triton import (
    grouped_experts,
    grouped_product,
    sort_by_expert,
)
from longllava_domains.model.kernels.int8_matmul import quantize_rows

CPU = torch.device("cpu")
worst: dict[str, float] = defaultdict(float)


@seed(0)
@settings(deadline=None, max_examples=6, database=None)
@given(
    tokens=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    outputs=st.integers(1, 37),
    inputs=st.integers(1, 37),
    rows=st.sampled_from([16, 64]),
)
@example(tokens=[0, 0, 23, 0], outputs=17, inputs=33, rows=16)  # one expert only
@example(tokens=[90], outputs=16, inputs=16, rows=64)  # nothing to choose
@example(tokens=[0, 0], outputs=5, inputs=5, rows=16)  # no tokens at all
def product_case(tokens: list[int], outputs: int, inputs: int, rows: int) -> None:
    """Tokens of each expert in any order; rows written back where they came from."""
    int8_experts_triton.FEW_ROWS = int8_experts_triton.MANY_ROWS = rows
    generator = torch.Generator().manual_seed(sum(tokens) + outputs)
    chosen = torch.repeat_interleave(torch.arange(len(tokens)), torch.tensor(tokens))
    chosen = chosen[torch.randperm(len(chosen), generator=generator)]
    x = torch.randn(len(chosen), inputs, generator=generator)
    weight = torch.randn(len(tokens), outputs, inputs, generator=generator)
    codes, scale = quantize_rows(weight)
    groups = sort_by_expert(chosen, len(tokens))
    found = grouped_product(x, codes, scale, groups, groups.order, groups.order)
    assert found.shape == (len(chosen), outputs)
    for row, expert in enumerate(chosen.tolist()):
        exact = (codes[expert].double() * scale[expert].double()[:, None]) @ x[row].double()
        error = ((found[row].double() - exact).abs().max() / exact.abs().max().clamp(min=1)).item()
        worst["product"] = max(worst["product"], error)


def main() -> None:
    int8_experts_triton.COLUMNS_PER_TILE = int8_experts_triton.INPUTS_PER_STEP = 16
    product_case()
    int8_experts_triton.COLUMNS_PER_TILE = int8_experts_triton.INPUTS_PER_STEP = 64
    int8_experts_triton.FEW_ROWS, int8_experts_triton.MANY_ROWS = 16, 64
    assert worst["product"] > 0  # it was compared, and not with itself
    worst["experts, float32"] = experts_error(grouped_experts, CPU, torch.float32)
    eps = torch.finfo(torch.float16).eps
    worst["experts, float16, in eps"] = experts_error(grouped_experts, CPU, torch.float16) / eps
    one_by_one = experts_error(blocked_experts, CPU, torch.float16) / eps
    worst["one by one, float16, in eps"] = one_by_one
    print(json.dumps(worst))


if __name__ == "__main__":
    main()
