"""Peak memory against the length of the sequence: only keys and values may grow.

    python benchmarks/memory_slope.py [--tokens 2048 4096 ... 65536] [--plot slope.svg]

A session's prefill in chunks, a process of its own for each length, float32 on the CPU, with an
allocator that hands memory back at once, so that resident memory is what is alive. The slope
of a straight line through the peaks is compared with the key/value bytes per token; the peak of
one stock forward, which grows with every activation, is printed for the shortest length.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from hybrid import (
    MIB,
    forget_peak,
    hybrid_config,
    longllava_network,
    machine,
    peak_bytes,
    stock_network,
)

from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.prefill import StepSizes, prefill
from longllava_domains.model.session.prefix_state import key_value_bytes_per_token
from longllava_domains.vision_language import Monitor

# glibc maps every larger block by itself and unmaps it when it is freed.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measure(tokens: int, options: argparse.Namespace) -> int:
    """Return the peak bytes added by reading so many tokens."""
    config = hybrid_config(options.hidden, experts=options.experts)
    config.num_key_value_heads = config.num_attention_heads
    network = longllava_network(config)
    ids = torch.randint(4, 1024, (tokens,)).tolist()
    steps = StepSizes(chunk_tokens=options.chunk)
    prefill(network, SessionCache(config), ids[: options.chunk], (), steps, Monitor())
    before = forget_peak()
    prefill(network, SessionCache(config), ids, (), steps, Monitor())
    return peak_bytes() - before


@torch.no_grad()
def measure_stock(tokens: int, options: argparse.Namespace) -> int:
    """Return the peak bytes added by one forward of stock transformers."""
    network = stock_network(hybrid_config(options.hidden, experts=options.experts))
    ids = torch.randint(4, 1024, (1, tokens))
    network(ids[:, :64])
    before = forget_peak()
    network(ids, logits_to_keep=1)
    return peak_bytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    lengths = [2048 * 2**power for power in range(6)]
    parser.add_argument("--tokens", type=int, nargs="+", default=lengths)
    parser.add_argument("--chunk", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--experts", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", choices=("ours", "stock"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        work = measure if options.one == "ours" else measure_stock
        print(json.dumps(work(options.tokens[0], options)))
        return
    print(machine())
    peaks = [child("ours", tokens, options) for tokens in options.tokens]
    print("tokens   peak added MiB")
    for tokens, peak in zip(options.tokens, peaks, strict=True):
        print(f"{tokens:6} {peak / MIB:10.1f}")
    config = hybrid_config(options.hidden, experts=options.experts)
    config.num_key_value_heads = config.num_attention_heads
    expected = key_value_bytes_per_token(longllava_network(config))
    slope, intercept = np.polyfit(options.tokens, peaks, 1)
    print(
        f"slope {slope:.0f} bytes a token, keys and values {expected} ({slope / expected:.3f}); "
        f"intercept {intercept / MIB:.1f} MiB"
    )
    stock = child("stock", options.tokens[0], options)
    print(f"stock, one forward of {options.tokens[0]} tokens: {stock / MIB:.0f} MiB")
    if options.plot:
        options.plot.write_text(plot(options.tokens, peaks, expected))


def child(which: str, tokens: int, options: argparse.Namespace) -> int:
    settings = {"tokens": tokens, "chunk": options.chunk, "hidden": options.hidden}
    settings |= {"experts": options.experts, "one": which}
    arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, __file__, *arguments]
    finished = subprocess.run(
        command, env={**os.environ, **ALLOCATOR}, capture_output=True, text=True, check=True
    )
    return int(json.loads(finished.stdout.splitlines()[-1]))


def plot(tokens: list[int], peaks: list[int], expected: int) -> str:
    """Draw measured peaks as dots over the line that keys and values alone would make."""
    width, height, margin = 480, 300, 50
    top = max(*peaks, expected * tokens[-1])

    def at(count: float, size: float) -> tuple[float, float]:
        across = margin + count / tokens[-1] * (width - 2 * margin)
        return across, height - margin - size / top * (height - 2 * margin)

    (x0, y0), (x1, y1) = at(0, 0), at(tokens[-1], expected * tokens[-1])
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        for x, y in (at(*pair) for pair in zip(tokens, peaks, strict=True))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<line x1="{x0}" y1="{y0}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="gray"/>{dots}'
        f'<text x="{margin}" y="{height - 15}">tokens, up to {tokens[-1]}</text>'
        f'<text x="{margin}" y="20">peak added memory, up to {top / MIB:.0f} MiB; '
        "line: keys and values alone</text></svg>\n"
    )


if __name__ == "__main__":
    main()
