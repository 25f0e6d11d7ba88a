"""The selective scan of Mamba-1 with a state that is carried: in at the start, out at the end.

Shapes, throughout this package: tokens before channels, as the linear layers produce them.
"""

import torch
from torch import Tensor
from torch.nn import functional

from longllava_domains.model.kernels.scan.blocked import ScanInputs, blocked_scan
from longllava_domains.model.kernels.scan.choice import chosen_scan


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    *,
    z: Tensor | None = None,
    initial_state: Tensor | None = None,
    resets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scan a batch of rows from a carried state.

    For each channel d and state n: h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t and
    y_t = (C_t h_t + D x_t) silu(z_t); B and C are shared by all channels. The state is float32
    whatever the inputs are (float64 for float64 inputs). Cutting a row anywhere and passing the
    final state on gives the same result as one call, up to rounding.

    Args:
        x: Input (rows, tokens, channels), any floating dtype.
        dt: Time steps after softplus, positive, shaped like `x`.
        A: (channels, states), real and negative.
        B: (rows, tokens, states).
        C: (rows, tokens, states).
        D: (channels,).
        z: Gate before its silu, shaped like `x`; None leaves the output ungated.
        initial_state: (rows, channels, states) before the first token; None is zero.
        resets: bool (rows, tokens); where true the state is zero before that token.

    Returns:
        y (rows, tokens, channels) in the dtype of `x`, and the state after the last token
        (rows, channels, states).

    Source: Gu and Dao, Mamba (2023), section 3.2; `scan_reference` is the readable form.
    """
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], x.shape[2], A.shape[1], dtype=dtype)
    values = (x, dt, A, B, C, D, initial_state)
    inputs = ScanInputs._make([*(value.to(dtype) for value in values), resets])
    scan = blocked_scan if x.device.type == "cpu" else chosen_scan(x.device)
    # Mixed-precision training must not round the products inside the scan.
    with torch.autocast(x.device.type, enabled=False):
        y, final_state = scan(inputs)
    if z is not None:
        gate = functional.silu(z.to(dtype))
        y = y * gate if y.requires_grad or gate.requires_grad else y.mul_(gate)
    return y.to(x.dtype), final_state


def selective_step(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Advance every row by one token.

    Args:
        x: (rows, channels).
        dt: (rows, channels), positive.
        A: (channels, states), negative.
        B: (rows, states).
        C: (rows, states).
        D: (channels,).
        state: (rows, channels, states), float32.

    Returns:
        y (rows, channels) in float32, ungated, and the new state.
    """
    dt = dt.to(state.dtype)
    x = x.to(state.dtype)
    state = (dt.unsqueeze(2) * A).exp_().mul_(state)
    state.addcmul_((dt * x).unsqueeze(2), B.to(state.dtype).unsqueeze(1))
    y = torch.matmul(state, C.to(state.dtype).unsqueeze(2)).squeeze(2)
    return torch.addcmul(y, x, D.to(state.dtype)), state
