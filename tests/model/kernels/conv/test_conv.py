"""The convolution carries its inputs, sees nothing across a reset, and steps token by token."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from longllava_domains.model.kernels.conv.causal_conv1d import causal_convolution, convolution_step


@settings(deadline=None, max_examples=25)
@given(
    tokens=st.integers(1, 150),
    width=st.integers(1, 5),
    where=st.integers(1, 149),
    seed=st.integers(0, 1000),
)
def test_cut_anywhere_it_equals_torch(tokens, width, where, seed) -> None:
    torch.manual_seed(seed)
    x, weight, bias = torch.randn(2, tokens, 6), torch.randn(6, width), torch.randn(6)
    padded = functional.pad(x.transpose(1, 2), (width - 1, 0))
    expected = functional.conv1d(padded, weight.unsqueeze(1), bias, groups=6).transpose(1, 2)
    where = min(where, tokens)
    with torch.no_grad():
        y, state = causal_convolution(x[:, :where], weight, bias)
        if where < tokens:
            rest, state = causal_convolution(x[:, where:], weight, bias, initial_state=state)
            y = torch.cat([y, rest], 1)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, padded[:, :, tokens:].transpose(1, 2))


@settings(deadline=None, max_examples=25)
@given(
    begins=st.sets(st.integers(1, 29), max_size=5),
    gradients=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_packed_samples_equal_separate_ones(begins, gradients, seed) -> None:
    torch.manual_seed(seed)
    x, weight, bias = torch.randn(1, 30, 6), torch.randn(6, 4), torch.randn(6)
    resets = torch.zeros(1, 30, dtype=torch.bool)
    resets[0, sorted(begins)] = True
    carried = torch.randn(1, 3, 6)
    with torch.set_grad_enabled(gradients):
        y, state = causal_convolution(x, weight, bias, initial_state=carried, resets=resets)
    bounds = [0, *sorted(begins), 30]
    before = carried
    for start, end in pairwise(bounds):
        alone, last = causal_convolution(x[:, start:end], weight, bias, initial_state=before)
        torch.testing.assert_close(y[:, start:end], alone)
        before = None
    torch.testing.assert_close(state, last)


def test_steps_equal_a_row() -> None:
    x, weight, bias = torch.randn(2, 9, 6), torch.randn(6, 4), torch.randn(6)
    expected, expected_state = causal_convolution(x, weight, bias)
    state, outputs = torch.zeros(2, 3, 6), []
    for t in range(9):
        y, state = convolution_step(x[:, t], weight, bias, state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), expected)
    torch.testing.assert_close(state, expected_state)


def test_gradients_reach_inputs_weights_and_state() -> None:
    leaves = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((1, 7, 3), (3, 4), (3,), (1, 3, 3))
    ]
    resets = torch.zeros(1, 7, dtype=torch.bool)
    resets[0, 4] = True
    assert torch.autograd.gradcheck(
        lambda x, weight, bias, state: causal_convolution(
            x, weight, bias, initial_state=state, resets=resets
        ),
        leaves,
    )
