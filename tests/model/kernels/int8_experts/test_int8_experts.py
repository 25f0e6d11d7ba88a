"""Experts in 8 bits: who runs them where, and the table that maps blocks of rows to experts."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.model.int8.experts import int8_experts
from longllava_domains.model.kernels.int8_experts import choice
from longllava_domains.model.kernels.int8_experts.accuracy import (
    TOLERANCE_EPS,
    experts_case,
    experts_error,
)
from longllava_domains.model.kernels.int8_experts.blocked import blocked_experts
from longllava_domains.model.kernels.int8_experts.choice import chosen_experts
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.kernels.selection import choose

CPU = torch.device("cpu")
BF16 = torch.bfloat16
LIMIT = TOLERANCE_EPS * torch.finfo(BF16).eps


def ignores_scales(experts, *values) -> Any:
    ones = {
        f"{name}_scale": torch.full_like(getattr(experts, f"{name}_scale"), 0.01)
        for name in ("gate_up_proj", "down_proj")
    }
    return blocked_experts(SimpleNamespace(**{**vars(experts), **ones}), *values)


def takes_the_next_expert(experts, x, index, weights) -> Any:
    return blocked_experts(experts, x, (index + 1) % experts.num_experts, weights)


def ignores_router_weights(experts, x, index, weights) -> Any:
    return blocked_experts(experts, x, index, torch.full_like(weights, 0.5))


def forgets_the_last_token(experts, x, index, weights) -> Any:
    output = blocked_experts(experts, x, index, weights)
    output[-1] = 0
    return output


@pytest.mark.parametrize(
    "wrong",
    [ignores_scales, takes_the_next_expert, ignores_router_weights, forgets_the_last_token],
)
def test_the_proof_catches_wrong_experts(wrong) -> None:
    assert experts_error(wrong, CPU, BF16) > 4 * LIMIT


def test_the_proof_lets_right_experts_pass() -> None:
    assert experts_error(blocked_experts, CPU, BF16) < LIMIT
    assert experts_error(blocked_experts, CPU, torch.float32) < 1e-5


def test_without_a_proved_kernel_experts_run_one_by_one_and_a_warning_says_so() -> None:
    case = experts_case(CPU, BF16, 3, 5, 16)
    with pytest.warns(UserWarning, match=r"triton wrong.*doctor"):
        choice = choose(
            {"triton": lambda: ignores_scales},
            blocked_experts,
            proof=lambda kernel: experts_error(kernel, CPU, BF16),
            work=lambda kernel: kernel(*case),
            device=CPU,
            tolerance=LIMIT,
        )
    assert choice.kernel is blocked_experts


def test_a_gpu_asks_for_the_grouped_kernel_and_gets_it_only_when_it_is_right(monkeypatch) -> None:
    """No GPU here: another device without kernels of ours stands for one that cannot run them."""
    monkeypatch.setattr(choice, "_load_triton_experts", lambda: ignores_scales)
    monkeypatch.setattr(
        choice, "experts_error", lambda *_: experts_error(ignores_scales, CPU, BF16)
    )
    monkeypatch.setattr(choice, "experts_case", lambda *_: experts_case(CPU, BF16, 3, 5, 16))
    choice.experts_choice.cache_clear()
    with pytest.warns(UserWarning, match="triton wrong"):
        assert chosen_experts(torch.device("meta"), BF16) is blocked_experts
    monkeypatch.setattr(choice, "_load_triton_experts", lambda: blocked_experts)
    monkeypatch.setattr(
        choice, "experts_error", lambda kernel, *_: experts_error(kernel, CPU, BF16)
    )
    choice.experts_choice.cache_clear()
    report = choice.experts_choice(torch.device("meta"), BF16).report()
    assert report["chosen"] == "triton"
    assert report["verdicts"] == {"triton": "proved"}
    assert set(report["milliseconds"]) == {"triton"}
    choice.experts_choice.cache_clear()


def test_on_the_cpu_experts_take_turns_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen_experts(CPU, BF16) is blocked_experts
        assert kernel_report(CPU)["int8_experts"]["chosen"] == "blocked"
        case = experts_case(CPU, BF16, 4, 7, 24)
        assert torch.equal(int8_experts(*case), blocked_experts(*case))


@given(
    chosen=st.lists(st.integers(0, 7), max_size=300),
    experts=st.integers(8, 11),
)
@settings(deadline=None, max_examples=80)
def test_each_pair_is_in_one_block_of_its_expert_and_idle_experts_have_none(
    chosen: list[int], experts: int
) -> None:
    triton_experts = pytest.importorskip(
        "longllava_domains.model.kernels.int8_experts.triton",
        reason="Triton is published for Linux only",
    )
    groups = triton_experts.sort_by_expert(torch.tensor(chosen, dtype=torch.int64), experts)
    assert sorted(groups.order.tolist()) == list(range(len(chosen)))
    in_order = [chosen[pair] for pair in groups.order.tolist()]
    assert in_order == sorted(chosen)
    covered = []
    used = [entry for entry in groups.blocks.tolist() if entry[1] < entry[2]]
    for expert, first, end in used:
        assert end - first <= groups.rows
        assert in_order[first:end] == [expert] * (end - first)
        covered += range(first, end)
    assert covered == list(range(len(chosen)))
    needed = sum(-(-chosen.count(expert) // groups.rows) for expert in set(chosen))
    assert len(used) == needed <= len(groups.blocks) <= needed + experts
