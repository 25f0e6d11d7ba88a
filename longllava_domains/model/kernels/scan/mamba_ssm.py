"""The kernels of mamba-ssm and causal-conv1d, which start at zero, made to continue and to reset.

`selective_scan_fn` takes no initial state and knows no samples. Both can be said to it in tokens:

- *Virtual tokens*, one per state, rebuild a carried state: token k has a one-hot B that reaches
  state k alone, a small time step, and an input that makes up for the decays that follow.
- A *separator* before a sample forgets the one before: its time step is so large that every decay
  is exactly zero, and its input is zero. In rows where no sample begins there, the time step is
  zero, which changes nothing.

The convolution gets its carried inputs as ordinary tokens, and zeros between samples.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from longllava_domains.model.kernels.scan.blocked import ScanInputs

StockKernel = Callable[..., Any]

VIRTUAL_STEP = 1e-3  # small beside 1 / |A|, so that what is made up for is close to 1
FORGET_STEP = 1e30  # exp(-1e30 |A|) is zero for every A that is not


def load_stock_scan() -> Callable[[ScanInputs], tuple[Tensor, Tensor]]:
    """Return the scan over mamba-ssm's kernel; ImportError where it is absent."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return partial(stock_scan, kernel=selective_scan_fn)


def load_stock_convolution() -> Callable[..., Tensor]:
    """Return the convolution over causal-conv1d's kernel; ImportError where it is absent."""
    from causal_conv1d import causal_conv1d_fn

    return partial(stock_convolution, kernel=causal_conv1d_fn)


def stock_scan(inputs: ScanInputs, *, kernel: StockKernel) -> tuple[Tensor, Tensor]:
    """Return (y without the gate, final state).

    Args:
        inputs: As for every scan of this package.
        kernel: A function with the signature and meaning of mamba-ssm's `selective_scan_fn`.
    """
    states = inputs.A.shape[1]
    begins = _columns_with_resets(inputs)
    # Column of each real token: after the virtual tokens and all separators up to it.
    separators = begins.cumsum(0)
    columns = states + torch.arange(inputs.x.shape[1], device=inputs.x.device) + separators
    length = states + inputs.x.shape[1] + int(begins.sum())
    x, dt, B, C = (
        _spread(value, columns, length) for value in (inputs.x, inputs.dt, inputs.B, inputs.C)
    )
    x[:, :states] = _inputs_of_virtual_tokens(inputs)
    dt[:, :states] = VIRTUAL_STEP
    B[:, :states] = torch.eye(states, dtype=B.dtype, device=B.device)
    if inputs.resets is not None:
        forget = inputs.resets[:, begins].to(dt.dtype) * FORGET_STEP
        dt[:, columns[begins] - 1] = forget.unsqueeze(2).expand(-1, -1, dt.shape[2])
    y, final_state = kernel(
        x.transpose(1, 2),
        dt.transpose(1, 2),
        inputs.A,
        B.transpose(1, 2),
        C.transpose(1, 2),
        D=inputs.D,
        return_last_state=True,
    )
    return y.transpose(1, 2)[:, columns], final_state


def _columns_with_resets(inputs: ScanInputs) -> Tensor:
    """Return bool (tokens,): a sample begins here in some row."""
    if inputs.resets is None:
        return torch.zeros(inputs.x.shape[1], dtype=torch.bool, device=inputs.x.device)
    return inputs.resets.any(dim=0)


def _spread(value: Tensor, columns: Tensor, length: int) -> Tensor:
    """Put tokens into their columns of a longer row, zeros elsewhere."""
    spread = value.new_zeros(value.shape[0], length, value.shape[2])
    spread[:, columns] = value
    return spread


def _inputs_of_virtual_tokens(inputs: ScanInputs) -> Tensor:
    """Return (rows, states, channels): token k puts the carried state k in place."""
    states = inputs.A.shape[1]
    following = torch.arange(states - 1, -1, -1, device=inputs.A.device)
    decay = (inputs.A * (VIRTUAL_STEP * following)).exp()
    return (inputs.initial_state / (VIRTUAL_STEP * decay)).transpose(1, 2)


def stock_convolution(
    extended: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    *,
    kernel: StockKernel,
) -> Tensor:
    """Filter rows; arguments and result as in `conv_blocked.torch_convolution`.

    Args:
        extended: (rows, width - 1 + tokens, channels).
        weight: (channels, width).
        bias: (channels,) or None.
        visible: int64 (rows, tokens) or None.
        kernel: A function with the signature and meaning of causal-conv1d's `causal_conv1d_fn`.
    """
    reach = weight.shape[1] - 1
    if visible is None:
        filtered: Tensor = kernel(extended.transpose(1, 2), weight, bias)
        return filtered.transpose(1, 2)[:, reach:]
    rows = []
    for row, seen in zip(extended, visible, strict=True):
        begins = seen == torch.arange(len(seen), device=seen.device)
        columns = reach + torch.arange(len(seen), device=seen.device) + reach * begins.cumsum(0)
        apart = row.new_zeros(int(columns[-1]) + 1, row.shape[1])
        apart[:reach] = row[:reach]
        apart[columns] = row[reach:]
        rows.append(kernel(apart.t().unsqueeze(0), weight, bias)[0].t()[columns])
    return torch.stack(rows)
