"""The scan carries its state exactly, forgets at resets, and has the right gradients."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longllava_domains.model.kernels.scan import blocked as scan_blocked
from longllava_domains.model.kernels.scan.blocked import ScanInputs, blocked_scan
from longllava_domains.model.kernels.scan.reference import selective_scan_reference
from longllava_domains.model.kernels.scan.selective_scan import selective_scan, selective_step


def scan_arguments(
    rows: int, tokens: int, channels: int, states: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Long memory: time steps log-uniform in 1e-3..0.1, decays of 1..states per unit of time."""
    steps = torch.empty(rows, tokens, channels, dtype=dtype).uniform_(-6.9, -2.3).exp()
    A = -torch.arange(1.0, states + 1, dtype=dtype).expand(channels, states).clone()
    shapes = [(rows, tokens, states), (rows, tokens, states), (channels,)]
    B, C, D = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return [torch.randn(rows, tokens, channels, dtype=dtype), steps, A, B, C, D]


def cut(arguments: list[Tensor], span: slice) -> list[Tensor]:
    x, dt, A, B, C, D = arguments
    return [x[:, span], dt[:, span], A, B[:, span], C[:, span], D]


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 70),
    channels=st.integers(1, 20),
    states=st.integers(1, 16),
    with_state=st.booleans(),
    reset_at=st.sets(st.integers(0, 69)),
    seed=st.integers(0, 1000),
)
def test_scan_equals_the_slow_reference(
    rows, tokens, channels, states, with_state, reset_at, seed
) -> None:
    torch.manual_seed(seed)
    arguments = scan_arguments(rows, tokens, channels, states)
    state = torch.randn(rows, channels, states) if with_state else None
    resets = torch.zeros(rows, tokens, dtype=torch.bool)
    resets[-1, [t for t in reset_at if t < tokens]] = True
    z = torch.randn(rows, tokens, channels)
    y, final = selective_scan(*arguments, z=z, initial_state=state, resets=resets)
    expected = selective_scan_reference(*arguments, z=z, initial_state=state, resets=resets)
    torch.testing.assert_close(y.double(), expected[0], rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(final.double(), expected[1], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 99), max_size=6), seed=st.integers(0, 1000))
def test_cutting_a_row_anywhere_changes_nothing(cuts, seed) -> None:
    torch.manual_seed(seed)
    arguments = scan_arguments(2, 100, 8, 16)
    whole, whole_state = selective_scan(*arguments)
    bounds = sorted({0, 100, *cuts})
    state, parts = None, []
    for start, end in pairwise(bounds):
        part, state = selective_scan(*cut(arguments, slice(start, end)), initial_state=state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=2e-5)
    torch.testing.assert_close(state, whole_state, rtol=0, atol=2e-5)


def test_a_reset_equals_starting_over() -> None:
    arguments = scan_arguments(1, 50, 8, 16)
    resets = torch.zeros(1, 50, dtype=torch.bool)
    resets[0, 17] = True
    y, final = selective_scan(*arguments, initial_state=torch.randn(1, 8, 16), resets=resets)
    alone, alone_final = selective_scan(*cut(arguments, slice(17, 50)))
    torch.testing.assert_close(y[:, 17:], alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(final, alone_final, rtol=0, atol=1e-6)


def test_a_step_equals_a_scan_of_one_token() -> None:
    x, dt, A, B, C, D = scan_arguments(3, 1, 8, 16)
    state = torch.randn(3, 8, 16)
    kept = state.clone()
    y, final = selective_step(x[:, 0], dt[:, 0], A, B[:, 0], C[:, 0], D, state)
    expected = selective_scan_reference(x, dt, A, B, C, D, initial_state=state)
    torch.testing.assert_close(y.double(), expected[0][:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final.double(), expected[1], rtol=1e-5, atol=1e-5)
    assert torch.equal(state, kept)


def test_half_precision_inputs_keep_a_float32_state() -> None:
    arguments = [value.bfloat16() for value in scan_arguments(1, 40, 8, 16)]
    y, final = selective_scan(*arguments)
    expected = selective_scan_reference(*arguments)
    assert y.dtype == torch.bfloat16
    assert final.dtype == torch.float32
    torch.testing.assert_close(final.double(), expected[1], rtol=1e-5, atol=1e-5)


def test_inputs_are_left_alone() -> None:
    arguments = scan_arguments(1, 40, 8, 16)
    state, z = torch.randn(1, 8, 16), torch.randn(1, 40, 8)
    kept = [value.clone() for value in (*arguments, state, z)]
    with torch.no_grad():
        selective_scan(*arguments, z=z, initial_state=state)
    assert all(map(torch.equal, (*arguments, state, z), kept))


@pytest.mark.parametrize("with_resets", [False, True])
def test_gradients_are_exact_in_float64(monkeypatch, with_resets) -> None:
    monkeypatch.setattr(scan_blocked, "TOKENS_PER_BLOCK", 4)
    monkeypatch.setattr(scan_blocked, "ELEMENTS_PER_STRIP", 16)
    arguments = scan_arguments(2, 9, 18, 3, torch.float64)
    arguments.append(torch.randn(2, 18, 3, dtype=torch.float64))
    resets = torch.zeros(2, 9, dtype=torch.bool)
    resets[0, 5] = with_resets
    leaves = [value.requires_grad_() for value in arguments]
    assert torch.autograd.gradcheck(
        lambda *values: blocked_scan(ScanInputs(*values, resets)), leaves, fast_mode=True
    )


def test_gradients_equal_those_of_the_reference_across_blocks() -> None:
    arguments = scan_arguments(1, 75, 6, 8)
    state = torch.randn(1, 6, 8)
    z = torch.randn(1, 75, 6)
    ours = [value.clone().requires_grad_() for value in (*arguments, z, state)]
    theirs = [value.double().requires_grad_() for value in (*arguments, z, state)]
    seed = torch.randn(1, 75, 6)
    y, final = selective_scan(*ours[:6], z=ours[6], initial_state=ours[7])
    grads = torch.autograd.grad((y * seed).sum() + final.square().sum(), ours)
    y, final = selective_scan_reference(*theirs[:6], z=theirs[6], initial_state=theirs[7])
    expected = torch.autograd.grad((y * seed).sum() + final.square().sum(), theirs)
    for ours_grad, expected_grad in zip(grads, expected, strict=True):
        torch.testing.assert_close(ours_grad.double(), expected_grad, rtol=1e-4, atol=1e-4)


def test_the_backward_pass_keeps_boundaries_only() -> None:
    arguments = scan_arguments(1, 256, 32, 16)
    saved = 0

    def count(value: Tensor) -> Tensor:
        nonlocal saved
        saved += value.numel()
        return value

    leaves = [value.requires_grad_() for value in arguments]
    with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
        selective_scan(*leaves)
    assert saved < 256 * 32 * 16 // 2  # all states would be 256 x 32 x 16
