"""The selective scan as the Mamba paper writes it: slow, in float64, and the judge of the others.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023),
equations 2a and 2b, with the simplified Euler rule for B that every implementation uses:

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t
    y_t = C_t h_t + D x_t
"""

import torch
from torch import Tensor
from torch.nn import functional


def selective_scan_reference(
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
    """Scan token by token in float64; arguments and results as in `scan.selective_scan`."""
    x, dt, A, B, C, D = (value.double() for value in (x, dt, A, B, C, D))
    state = x.new_zeros(x.shape[0], *A.shape) if initial_state is None else initial_state.double()
    outputs = []
    for t in range(x.shape[1]):
        if resets is not None:
            state = torch.where(resets[:, t, None, None], 0.0, state)
        decay = (dt[:, t, :, None] * A).exp()
        state = decay * state + (dt[:, t] * x[:, t])[:, :, None] * B[:, t, None, :]
        outputs.append((state * C[:, t, None, :]).sum(-1) + D * x[:, t])
    y = torch.stack(outputs, dim=1)
    if z is not None:
        y = y * functional.silu(z.double())
    return y, state
