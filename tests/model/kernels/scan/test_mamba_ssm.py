"""The stock kernels, which start at zero, continue and reset through tokens alone.

The functions here have the signatures and the meaning of `mamba_ssm.selective_scan_fn` and
`causal_conv1d.causal_conv1d_fn`; what is proved is the wrapping, not the CUDA code.
"""

from typing import Any

import pytest
import torch
from torch.nn import functional

from longllava_domains.model.kernels.conv.blocked import torch_convolution
from longllava_domains.model.kernels.packing import first_visible
from longllava_domains.model.kernels.scan.blocked import ScanInputs
from longllava_domains.model.kernels.scan.mamba_ssm import stock_convolution, stock_scan
from longllava_domains.model.kernels.scan.reference import selective_scan_reference


def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False,
    return_last_state=False,
) -> Any:  # fmt: skip
    """Channels before tokens, float32 inside, state from zero; as mamba-ssm documents it."""
    delta = delta.float() if delta_bias is None else delta.float() + delta_bias[:, None].float()
    if delta_softplus:
        delta = functional.softplus(delta)
    state = u.new_zeros(u.shape[0], *A.shape, dtype=torch.float32)
    outputs = []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)
        state = decay * state + (delta * u.float())[:, :, t, None] * B[:, None, :, t].float()
        outputs.append((state * C[:, None, :, t].float()).sum(-1))
    y = torch.stack(outputs, 2)
    y = y if D is None else y + u * D[:, None]
    y = (y if z is None else y * functional.silu(z)).to(u.dtype)
    return (y, state) if return_last_state else y


def causal_conv1d_fn(
    x, weight, bias=None, seq_idx=None, initial_states=None, return_final_states=False,
    final_states_out=None, activation=None,
) -> Any:  # fmt: skip
    """Channels before tokens, zeros before the row; as causal-conv1d documents it."""
    assert (seq_idx, initial_states, final_states_out) == (None, None, None)
    assert not return_final_states
    padded = functional.pad(x, (weight.shape[1] - 1, 0))
    y = functional.conv1d(padded, weight.unsqueeze(1), bias, groups=x.shape[1])
    return functional.silu(y) if activation in ("silu", "swish") else y


def long_memory_inputs(resets) -> Any:
    torch.manual_seed(1)
    values = [
        torch.randn(2, 60, 8),
        torch.empty(2, 60, 8).uniform_(-6.9, -2.3).exp(),
        -torch.empty(8, 16).uniform_(-2.0, 3.5).exp(),
        torch.randn(2, 60, 16),
        torch.randn(2, 60, 16),
        torch.randn(8),
        torch.randn(2, 8, 16),
    ]
    return values, resets


@pytest.mark.parametrize("begins", [(), ((0, 20), (1, 33), (1, 34)), ((0, 0), (1, 0))])
def test_a_state_is_carried_and_samples_are_kept_apart(begins) -> None:
    resets = torch.zeros(2, 60, dtype=torch.bool)
    for row, token in begins:
        resets[row, token] = True
    values, resets = long_memory_inputs(resets if begins else None)
    y, final = stock_scan(ScanInputs(*values, resets), kernel=selective_scan_fn)
    expected = selective_scan_reference(*values[:6], initial_state=values[6], resets=resets)
    scale = expected[0].abs().max()
    assert ((y.double() - expected[0]).abs().max() / scale) < 1e-6
    assert ((final.double() - expected[1]).abs().max() / expected[1].abs().max()) < 1e-6


def test_separators_forget_without_a_trace() -> None:
    resets = torch.zeros(2, 60, dtype=torch.bool)
    resets[:, 20] = True
    values, _ = long_memory_inputs(None)
    disturbed = [value.clone() for value in values]
    disturbed[0][:, :20] *= 1000
    one, _ = stock_scan(ScanInputs(*values, resets), kernel=selective_scan_fn)
    two, _ = stock_scan(ScanInputs(*disturbed, resets), kernel=selective_scan_fn)
    assert torch.equal(one[:, 20:], two[:, 20:])


def test_gradients_pass_through_the_wrapping() -> None:
    values, _ = long_memory_inputs(None)
    ours = [value.clone().requires_grad_() for value in values]
    theirs = [value.double().requires_grad_() for value in values]
    y, final = stock_scan(ScanInputs(*ours, None), kernel=selective_scan_fn)
    grads = torch.autograd.grad(y.square().sum() + final.sum(), ours)
    y, final = selective_scan_reference(*theirs[:6], initial_state=theirs[6])
    expected = torch.autograd.grad(y.square().sum() + final.sum(), theirs)
    for ours_grad, expected_grad in zip(grads, expected, strict=True):
        error = (ours_grad.double() - expected_grad).abs().max() / expected_grad.abs().max()
        assert error < 1e-4


@pytest.mark.parametrize("begins", [(), ((0, 7), (1, 3), (1, 4))])
def test_the_convolution_is_carried_and_kept_apart(begins) -> None:
    extended, weight, bias = torch.randn(2, 23, 6), torch.randn(6, 4), torch.randn(6)
    visible = None
    if begins:
        resets = torch.zeros(2, 20, dtype=torch.bool)
        for row, token in begins:
            resets[row, token] = True
        visible = first_visible(resets, 3)
    y = stock_convolution(extended, weight, bias, visible, kernel=causal_conv1d_fn)
    torch.testing.assert_close(y, torch_convolution(extended, weight, bias, visible))
