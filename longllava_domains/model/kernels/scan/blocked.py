"""The selective scan in plain torch, fast and in bounded memory, forward and backward.

Time is cut into blocks and channels into strips, so that the decays exp(dt A) and the states of
one block stay in the processor's cache: nothing of size tokens x channels x states is ever held.
The state is laid out states-first, so that each step is one fused multiply-add over contiguous
memory. Only the states at block boundaries are kept for the backward pass; each block is
recomputed there. All factors are exp of something negative, so no step can overflow.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TOKENS_PER_BLOCK = 32
ELEMENTS_PER_STRIP = 1024  # rows x channels worked on together


class ScanInputs(NamedTuple):
    """The inputs of a scan: shapes as in `scan.selective_scan`, all of the state's dtype."""

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    initial_state: Tensor
    resets: Tensor | None


class _Block(NamedTuple):
    """One block of tokens in one strip of channels: time first, then rows, states, channels."""

    x: Tensor
    dt: Tensor
    B: Tensor
    C: Tensor
    decay: Tensor
    states: Tensor


class _Workspace:
    """Buffers for the decays and states of one block, used again for every block of a strip."""

    def __init__(self, inputs: ScanInputs, channels: int) -> None:
        rows, tokens, _ = inputs.x.shape
        shape = (min(TOKENS_PER_BLOCK, tokens), rows, inputs.A.shape[1], channels)
        self.decay = inputs.initial_state.new_empty(shape)
        self.states = inputs.initial_state.new_empty(shape)
        # Taking a view costs as much as the step itself: take them once.
        self.steps = list(zip(self.decay.unbind(0), self.states.unbind(0), strict=True))


def blocked_scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return (y without the gate, final state); differentiable once in everything but resets."""
    if torch.is_grad_enabled() and any(
        value.requires_grad for value in inputs if value is not None
    ):
        y, final_state = _BlockedScan.apply(*inputs)  # type: ignore[no-untyped-call]
        return y, final_state
    y, final_state, _ = _forward(inputs, keep_boundaries=False)
    return y, final_state


def _strips(inputs: ScanInputs) -> Iterator[slice]:
    rows, _, channels = inputs.x.shape
    width = max(ELEMENTS_PER_STRIP // rows, 16)
    for start in range(0, channels, width):
        yield slice(start, min(start + width, channels))


def _spans(tokens: int) -> list[slice]:
    return [
        slice(start, min(start + TOKENS_PER_BLOCK, tokens))
        for start in range(0, tokens, TOKENS_PER_BLOCK)
    ]


def _scan_block(
    inputs: ScanInputs, span: slice, strip: slice, A: Tensor, state: Tensor, work: _Workspace
) -> _Block:
    """Compute decays and states of one block, from the state (rows, states, channels) before it."""
    x = inputs.x[:, span, strip].transpose(0, 1)
    dt = inputs.dt[:, span, strip].transpose(0, 1)
    B = inputs.B[:, span].transpose(0, 1)
    C = inputs.C[:, span].transpose(0, 1)
    decay, states = work.decay[: len(x)], work.states[: len(x)]
    torch.mul(dt.unsqueeze(2), A, out=decay).exp_()
    if inputs.resets is not None and bool(inputs.resets[:, span].any()):
        decay[inputs.resets[:, span].transpose(0, 1)] = 0.0
    torch.mul((dt * x).unsqueeze(2), B.unsqueeze(3), out=states)
    for step_decay, step_state in work.steps[: len(x)]:
        state = step_state.addcmul_(step_decay, state)
    return _Block(x, dt, B, C, decay, states)


def _forward(inputs: ScanInputs, *, keep_boundaries: bool) -> tuple[Tensor, Tensor, Tensor]:
    rows, tokens, channels = inputs.x.shape
    spans = _spans(tokens)
    states_count = inputs.A.shape[1]
    y = torch.empty_like(inputs.x, memory_format=torch.contiguous_format)
    final_state = inputs.initial_state.new_empty(rows, channels, states_count)
    kept = len(spans) if keep_boundaries else 0
    boundaries = inputs.initial_state.new_empty(kept, rows, states_count, channels)
    for strip in _strips(inputs):
        A = inputs.A[strip].t().contiguous()
        state = inputs.initial_state[:, strip].transpose(1, 2).contiguous()
        work = _Workspace(inputs, A.shape[1])
        for index, span in enumerate(spans):
            if keep_boundaries:
                boundaries[index, :, :, strip] = state
            block = _scan_block(inputs, span, strip, A, state, work)
            state = block.states[-1].clone()
            read = torch.matmul(block.C.unsqueeze(2), block.states).squeeze(2)
            read.addcmul_(block.x, inputs.D[strip])
            y[:, span, strip] = read.transpose(0, 1)
        final_state[:, strip] = state.transpose(1, 2)
    return y, final_state, boundaries


class _Gradients(NamedTuple):
    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    initial_state: Tensor


def _backward_block(
    block: _Block, before: Tensor, carry: Tensor, grad_y: Tensor, A: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Run one block backwards.

    Args:
        block: The block, recomputed.
        before: State before the block (rows, states, channels).
        carry: Gradient of the loss with respect to the block's last state through later blocks.
        grad_y: Gradient of the ungated output (time, rows, channels).
        A: (states, channels).

    Returns:
        Gradients of dt x, of dt through the decay, of A, B and C, and the carry for the block before.
    """
    grad = torch.mul(block.C.unsqueeze(3), grad_y.unsqueeze(2))
    grad[-1].add_(carry)
    steps = grad.unbind(0)
    decays = block.decay.unbind(0)
    for t in range(len(steps) - 2, -1, -1):
        steps[t].addcmul_(decays[t + 1], steps[t + 1])
    grad_C = torch.matmul(block.states, grad_y.unsqueeze(3)).squeeze(3)
    grad_B = torch.matmul(grad, (block.dt * block.x).unsqueeze(3)).squeeze(3)
    grad_input = torch.matmul(block.B.unsqueeze(2), grad).squeeze(2)
    grad.mul_(block.decay)
    carry = grad[0].clone()
    grad[0].mul_(before)
    grad[1:].mul_(block.states[:-1])
    grad_A = (grad * block.dt.unsqueeze(2)).sum(dim=(0, 1))
    grad_dt = grad.mul_(A).sum(dim=2)
    return grad_input, grad_dt, grad_A, grad_B, grad_C, carry


def _backward(
    inputs: ScanInputs, boundaries: Tensor, grad_y: Tensor, grad_final: Tensor
) -> _Gradients:
    spans = _spans(inputs.x.shape[1])
    total = _Gradients(*(torch.zeros_like(value) for value in inputs[:7]))
    for strip in _strips(inputs):
        A = inputs.A[strip].t().contiguous()
        carry = grad_final[:, strip].transpose(1, 2).contiguous()
        work = _Workspace(inputs, A.shape[1])
        for index in range(len(spans) - 1, -1, -1):
            span, before = spans[index], boundaries[index, :, :, strip]
            block = _scan_block(inputs, span, strip, A, before, work)
            dy = grad_y[:, span, strip].transpose(0, 1)
            grad_input, grad_dt, grad_A, grad_B, grad_C, carry = _backward_block(
                block, before, carry, dy, A
            )
            grad_dt.addcmul_(grad_input, block.x)
            total.dt[:, span, strip] = grad_dt.transpose(0, 1)
            grad_x = torch.addcmul(dy * inputs.D[strip], grad_input, block.dt)
            total.x[:, span, strip] = grad_x.transpose(0, 1)
            total.A[strip] += grad_A.t()
            total.B[:, span] += grad_B.transpose(0, 1)
            total.C[:, span] += grad_C.transpose(0, 1)
            total.D[strip] += (dy * block.x).sum(dim=(0, 1))
        total.initial_state[:, strip] = carry.transpose(1, 2)
    return total


class _BlockedScan(torch.autograd.Function):
    """Keep inputs and boundary states, recompute each block when its gradient is asked for."""

    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> tuple[Tensor, Tensor]:
        """Run the scan; keep its inputs and the state at the boundary of each block."""
        inputs = ScanInputs(*values)
        y, final_state, boundaries = _forward(inputs, keep_boundaries=True)
        ctx.save_for_backward(*inputs, boundaries)
        return y, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_final: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs; a block is computed again when it is needed."""
        *values, boundaries = ctx.saved_tensors
        return (*_backward(ScanInputs(*values), boundaries, grad_y, grad_final), None)
