"""The selective scan as Triton kernels of our own, forward and backward, with states and resets.

No package with a compiled CUDA extension is needed. One program walks along one row with a few
channels and all their states; inside a tile of tokens the recurrence is an associative scan. The
forward pass keeps the state before each tile; the backward pass recomputes each tile from it.
Proved against `scan_reference` in Triton's interpreter; compiled for sm_80 and sm_90 in the tests.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from longllava_domains.model.kernels.scan.blocked import ScanInputs

TOKENS_PER_TILE = 32
CHANNELS_PER_PROGRAM = 8


@triton.jit
def _chain(gain_1, value_1, gain_2, value_2):  # type: ignore[no-untyped-def]
    """Compose two steps h -> gain h + value, the first one first."""
    return gain_1 * gain_2, gain_2 * value_1 + value_2


@triton.jit
def _at(row, t, feature, tokens, features):  # type: ignore[no-untyped-def]
    """Return offsets (tokens, features) into a row-major (rows, tokens, features) array."""
    return (row * tokens + t)[:, None] * features + feature[None, :]


@triton.jit
def _read(ptr, row, t, within, feature, tokens, features):  # type: ignore[no-untyped-def]
    """Load tokens `t` where `within`, zero elsewhere."""
    mask = within[:, None] & (feature < features)[None, :]
    return tl.load(ptr + _at(row, t, feature, tokens, features), mask=mask, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _decays(  # type: ignore[no-untyped-def]
    dt, A, reset_ptr, row, t, within, tokens, HAS_RESETS: tl.constexpr
):
    """Return exp(dt A) of each token, zero where a sample begins."""
    decay = tl.exp(dt[:, :, None] * A[None, :, :])
    if HAS_RESETS:
        reset = tl.load(reset_ptr + row * tokens + t, mask=within, other=0)
        decay = tl.where((reset != 0)[:, None, None], 0.0, decay)
    return decay


@triton.jit  # type: ignore[untyped-decorator]
def scan_forward_kernel(  # type: ignore[no-untyped-def]
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, reset_ptr, initial_ptr,
    y_ptr, boundary_ptr, final_ptr,
    tokens, channels, states,
    HAS_RESETS: tl.constexpr, STATES: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Scan one row with CHANNELS channels; grid (rows, strips of channels)."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    strip = (c < channels)[:, None] & (n < states)[None, :]
    state_at = (row * channels + c)[:, None] * states + n[None, :]
    A = tl.load(A_ptr + c[:, None] * states + n[None, :], mask=strip, other=0.0)
    D = tl.load(D_ptr + c, mask=c < channels, other=0.0)
    state = tl.load(initial_ptr + state_at, mask=strip, other=0.0)
    tiles = tl.cdiv(tokens, TOKENS)
    for tile in range(0, tiles):
        boundary_at = ((row * tiles + tile) * channels + c)[:, None] * states + n[None, :]
        tl.store(boundary_ptr + boundary_at, state, mask=strip)
        t = tile * TOKENS + tl.arange(0, TOKENS)
        within = t < tokens
        x = _read(x_ptr, row, t, within, c, tokens, channels)
        dt = _read(dt_ptr, row, t, within, c, tokens, channels)
        B = _read(B_ptr, row, t, within, n, tokens, states)
        C = _read(C_ptr, row, t, within, n, tokens, states)
        decay = _decays(dt, A, reset_ptr, row, t, within, tokens, HAS_RESETS)
        gain, value = tl.associative_scan((decay, (dt * x)[:, :, None] * B[:, None, :]), 0, _chain)
        along = gain * state[None, :, :] + value
        y = tl.sum(along * C[:, None, :], axis=2) + D[None, :] * x
        wide = within[:, None] & (c < channels)[None, :]
        tl.store(y_ptr + _at(row, t, c, tokens, channels), y, mask=wide)
        # Tokens past the end have dt = 0 and leave the state alone: the tile's last one has it.
        last = (tl.arange(0, TOKENS) == TOKENS - 1)[:, None, None]
        state = tl.sum(tl.where(last, along, 0.0), axis=0)
    tl.store(final_ptr + state_at, state, mask=strip)


@triton.jit  # type: ignore[untyped-decorator]
def _states_before(  # type: ignore[no-untyped-def]
    x_ptr, dt_ptr, B_ptr, reset_ptr, A, before, row, t, within, c, n, tokens, channels, states,
    HAS_RESETS: tl.constexpr,
):  # fmt: skip
    """Return the state before each token of a tile: the scan of the inputs one token earlier."""
    dt = _read(dt_ptr, row, t - 1, within, c, tokens, channels)
    x = _read(x_ptr, row, t - 1, within, c, tokens, channels)
    B = _read(B_ptr, row, t - 1, within, n, tokens, states)
    decay = _decays(dt, A, reset_ptr, row, t - 1, within, tokens, HAS_RESETS)
    gain, value = tl.associative_scan((decay, (dt * x)[:, :, None] * B[:, None, :]), 0, _chain)
    return gain * before[None, :, :] + value


@triton.jit  # type: ignore[untyped-decorator]
def scan_backward_kernel(  # type: ignore[no-untyped-def]
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, reset_ptr, boundary_ptr, grad_y_ptr, grad_final_ptr,
    grad_x_ptr, grad_dt_ptr, grad_A_ptr, grad_B_ptr, grad_C_ptr, grad_D_ptr, grad_initial_ptr,
    tokens, channels, states,
    HAS_RESETS: tl.constexpr, STATES: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Walk one row backwards; gradients of B and C gather over strips, of A and D per row."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    strip = (c < channels)[:, None] & (n < states)[None, :]
    state_at = (row * channels + c)[:, None] * states + n[None, :]
    A = tl.load(A_ptr + c[:, None] * states + n[None, :], mask=strip, other=0.0)
    D = tl.load(D_ptr + c, mask=c < channels, other=0.0)
    carry = tl.load(grad_final_ptr + state_at, mask=strip, other=0.0)
    grad_A = tl.zeros((CHANNELS, STATES), dtype=tl.float32)
    grad_D = tl.zeros((CHANNELS,), dtype=tl.float32)
    tiles = tl.cdiv(tokens, TOKENS)
    inside = tl.arange(0, TOKENS)
    for back in range(0, tiles):
        tile = tiles - 1 - back
        boundary_at = ((row * tiles + tile) * channels + c)[:, None] * states + n[None, :]
        before = tl.load(boundary_ptr + boundary_at, mask=strip, other=0.0)
        t = tile * TOKENS + inside
        within = t < tokens
        x = _read(x_ptr, row, t, within, c, tokens, channels)
        dt = _read(dt_ptr, row, t, within, c, tokens, channels)
        B = _read(B_ptr, row, t, within, n, tokens, states)
        C = _read(C_ptr, row, t, within, n, tokens, states)
        dy = _read(grad_y_ptr, row, t, within, c, tokens, channels)
        previous = _states_before(
            x_ptr, dt_ptr, B_ptr, reset_ptr, A, before, row, t, within & (inside > 0), c, n,
            tokens, channels, states, HAS_RESETS,
        )  # fmt: skip
        decay = _decays(dt, A, reset_ptr, row, t, within, tokens, HAS_RESETS)
        along = decay * previous + (dt * x)[:, :, None] * B[:, None, :]
        # The gradient comes back through the decay of the token that follows in the tile.
        follows = (inside < TOKENS - 1) & (t + 1 < tokens)
        dt_next = _read(dt_ptr, row, t + 1, follows, c, tokens, channels)
        back_decay = _decays(dt_next, A, reset_ptr, row, t + 1, follows, tokens, HAS_RESETS)
        arriving = dy[:, :, None] * C[:, None, :]
        gain, value = tl.associative_scan((back_decay, arriving), 0, _chain, reverse=True)
        grad = gain * carry[None, :, :] + value
        narrow = within[:, None] & (n < states)[None, :]
        B_at = _at(row, t, n, tokens, states)
        tl.atomic_add(grad_C_ptr + B_at, tl.sum(along * dy[:, :, None], axis=1), mask=narrow)
        tl.atomic_add(grad_B_ptr + B_at, tl.sum(grad * (dt * x)[:, :, None], axis=1), mask=narrow)
        grad_input = tl.sum(grad * B[:, None, :], axis=2)
        carry = tl.sum(tl.where((inside == 0)[:, None, None], grad * decay, 0.0), axis=0)
        through = grad * decay * previous
        grad_A += tl.sum(through * dt[:, :, None], axis=0)
        grad_D += tl.sum(dy * x, axis=0)
        wide = within[:, None] & (c < channels)[None, :]
        x_at = _at(row, t, c, tokens, channels)
        grad_dt = tl.sum(through * A[None, :, :], axis=2) + grad_input * x
        tl.store(grad_dt_ptr + x_at, grad_dt, mask=wide)
        tl.store(grad_x_ptr + x_at, grad_input * dt + D[None, :] * dy, mask=wide)
    tl.store(grad_A_ptr + state_at, grad_A, mask=strip)
    tl.store(grad_D_ptr + row * channels + c, grad_D, mask=c < channels)
    tl.store(grad_initial_ptr + state_at, carry, mask=strip)


def triton_scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return (y without the gate, final state); differentiable once in everything but resets."""
    # Triton launches on the current device.
    with torch.cuda.device_of(inputs.x):  # type: ignore[no-untyped-call]
        y, final_state = _TritonScan.apply(*inputs)  # type: ignore[no-untyped-call]
    return y, final_state


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> tuple[Tensor, Tensor]:
        """Scan on the device; keeps the states at tile boundaries for the backward."""
        inputs = _contiguous(values)
        rows, tokens, channels = inputs.x.shape
        states = inputs.A.shape[1]
        tiles = triton.cdiv(tokens, TOKENS_PER_TILE)
        y = torch.empty_like(inputs.x)
        final_state = torch.empty_like(inputs.initial_state)
        boundaries = inputs.x.new_empty(rows, tiles, channels, states)
        scan_forward_kernel[_grid(inputs)](
            *inputs[:6], _resets(inputs), inputs.initial_state, y, boundaries, final_state,
            tokens, channels, states, **_constants(inputs),
        )  # fmt: skip
        ctx.save_for_backward(*inputs, boundaries)
        return y, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_final: Tensor) -> tuple[Tensor | None, ...]:
        """Recompute each tile from its boundary state and return the gradients."""
        *values, boundaries = ctx.saved_tensors
        inputs = ScanInputs(*values)  # autograd runs this on the device of its inputs
        rows, tokens, channels = inputs.x.shape
        states = inputs.A.shape[1]
        grad_x, grad_dt = torch.empty_like(inputs.x), torch.empty_like(inputs.x)
        grad_A, grad_initial = (torch.empty_like(inputs.initial_state) for _ in range(2))
        grad_B, grad_C = torch.zeros_like(inputs.B), torch.zeros_like(inputs.C)
        grad_D = inputs.x.new_empty(rows, channels)
        scan_backward_kernel[_grid(inputs)](
            *inputs[:6], _resets(inputs), boundaries, grad_y.contiguous(), grad_final.contiguous(),
            grad_x, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_initial,
            tokens, channels, states, **_constants(inputs),
        )  # fmt: skip
        return grad_x, grad_dt, grad_A.sum(0), grad_B, grad_C, grad_D.sum(0), grad_initial, None


def _contiguous(values: tuple[Tensor, ...]) -> ScanInputs:
    return ScanInputs._make(None if value is None else value.contiguous() for value in values)


def _resets(inputs: ScanInputs) -> Tensor:
    """Return the resets as bytes; without any, something for the pointer to point at."""
    return inputs.x if inputs.resets is None else inputs.resets.to(torch.uint8)


def _grid(inputs: ScanInputs) -> tuple[int, int]:
    rows, _, channels = inputs.x.shape
    return rows, triton.cdiv(channels, CHANNELS_PER_PROGRAM)


def _constants(inputs: ScanInputs) -> dict[str, int | bool]:
    return {
        "HAS_RESETS": inputs.resets is not None,
        "STATES": triton.next_power_of_2(inputs.A.shape[1]),
        "TOKENS": TOKENS_PER_TILE,
        "CHANNELS": CHANNELS_PER_PROGRAM,
    }
