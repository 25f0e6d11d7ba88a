"""The selective scan alone, against transformers' loop: forward, and forward with backward.

    python benchmarks/scan.py [--tokens 8192] [--channels 1024] [--repeats 5]

Both start at zero, since transformers' loop can do nothing else. Errors are against float64. The
backward pass is timed on 256 tokens: that of the loop grows with their square.
"""

import argparse

import torch
from hybrid import by_turns, machine
from torch import Tensor
from transformers.models.jamba import modeling_jamba

from longllava_domains.model.kernels.scan.reference import selective_scan_reference
from longllava_domains.model.kernels.scan.selective_scan import selective_scan


def arguments(tokens: int, channels: int) -> list[Tensor]:
    torch.manual_seed(0)
    steps = torch.empty(1, tokens, channels).uniform_(-6.9, -2.3).exp()
    A = -torch.arange(1.0, 17.0).expand(channels, 16).clone()
    B, C = torch.randn(1, tokens, 16), torch.randn(1, tokens, 16)
    return [torch.randn(1, tokens, channels), steps, A, B, C, torch.ones(channels)]


def stock_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    x, dt, B, C = (value.transpose(1, 2) for value in (x, dt, B, C))
    scan = getattr(modeling_jamba.mamba_selective_scan, "__wrapped__", None)
    y: Tensor = (scan or modeling_jamba.mamba_selective_scan)(x, dt, A, B, C, D)
    return y.transpose(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    values = arguments(options.tokens, options.channels)
    small = [value[:, :256] if value.ndim == 3 else value for value in values]
    exact, _ = selective_scan_reference(*small)
    for name, found in (("ours", selective_scan(*small)[0]), ("stock", stock_scan(*small))):
        error = float((found.double() - exact).norm() / exact.norm())
        print(f"{name:6} relative error {error:.1e}")
    with torch.no_grad():
        seconds = by_turns(
            {"ours": lambda: selective_scan(*values), "stock": lambda: stock_scan(*values)},
            options.repeats,
        )
    report("forward", seconds)
    leaves = [value.clone().requires_grad_() for value in small]
    seconds = by_turns(
        {
            "ours": lambda: selective_scan(*leaves)[0].sum().backward(),
            "stock": lambda: stock_scan(*leaves).sum().backward(),
        },
        options.repeats,
    )
    report(f"forward and backward, {small[0].shape[1]} tokens", seconds)


def report(what: str, seconds: dict[str, float]) -> None:
    ratio = seconds["stock"] / seconds["ours"]
    print(
        f"{what}: ours {seconds['ours'] * 1e3:.0f} ms, stock {seconds['stock'] * 1e3:.0f} ms, "
        f"{ratio:.1f} times faster"
    )


if __name__ == "__main__":
    main()
