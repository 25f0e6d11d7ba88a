"""Prefill of a long prompt on the CPU, against stock transformers: time and peak added memory.

    python benchmarks/prefill.py [--tokens 8192] [--hidden 512] [--repeats 3]

One forward of each on the same weights and threads, float32, logits of the last token. Time is
measured by turns in one process, memory in a process of its own for each. Ours uses oneDNN's
float32 products where its probe allows it; the probe is printed. So is the time of the matrix
products alone, which both must do: with all else free, no ratio could be larger than theirs.
"""

import argparse
import copy
import json
import subprocess
import sys

import torch
from hybrid import MIB, by_turns, forget_peak, hybrid_config, machine, peak_bytes, stock_network
from transformers import JambaForCausalLM

from longllava_domains.model import use_exact_state
from longllava_domains.model.kernels.cpu_matmul import fast_products, probe_products


@torch.no_grad()
def run(network: JambaForCausalLM, ids: torch.Tensor, ours: bool) -> torch.Tensor:
    if not ours:
        logits: torch.Tensor = network(ids, logits_to_keep=1).logits
        return logits
    with fast_products(network):
        return run(network, ids, ours=False)


def measure_memory(which: str, options: argparse.Namespace) -> None:
    network = stock_network(hybrid_config(options.hidden, experts=options.experts))
    if which == "ours":
        use_exact_state(network)
    ids = torch.randint(3, 1024, (1, options.tokens))
    run(network, ids[:, :64], which == "ours")
    before = forget_peak()
    run(network, ids, which == "ours")
    print(json.dumps(peak_bytes() - before))


def measure_time(options: argparse.Namespace) -> None:
    stock = stock_network(hybrid_config(options.hidden, experts=options.experts))
    ours = copy.deepcopy(stock)
    use_exact_state(ours)
    ids = torch.randint(3, 1024, (1, options.tokens))
    difference = float((run(ours, ids, True) - run(stock, ids, False)).abs().max())
    seconds = by_turns(
        {"ours": lambda: run(ours, ids, True), "stock": lambda: run(stock, ids, False)},
        options.repeats,
        warm_up=0,
    )
    print(
        f"{options.tokens} tokens: ours {seconds['ours']:.2f} s, stock {seconds['stock']:.2f} s, "
        f"{seconds['stock'] / seconds['ours']:.2f} times faster; "
        f"logits differ by {difference:.1e} at most"
    )
    products = seconds_of_products(ours, ids)
    print(
        f"of ours, matrix products {products:.2f} s: were all else free, "
        f"{seconds['stock'] / products:.2f} times faster"
    )


def seconds_of_products(network: JambaForCausalLM, ids: torch.Tensor) -> float:
    """Return the time inside torch's matrix products during one forward of ours."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run(network, ids, ours=True)
    names = {"aten::mm", "aten::addmm", "mkldnn::_linear_pointwise", "aten::mkldnn_linear"}
    found = [event for event in profiler.key_averages() if event.key in names]
    return sum(event.self_cpu_time_total for event in found) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", choices=("ours", "stock"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        measure_memory(options.memory_of, options)
        return
    print(machine())
    probe = probe_products()
    print(
        f"oneDNN float32 products: {probe.speedup:.2f} times torch's, error {probe.error:.1e}, "
        f"{'used' if probe.worth_it else 'not used'}"
    )
    measure_time(options)
    peaks = {}
    for which in ("ours", "stock"):
        command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", which]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[which] = json.loads(finished.stdout.splitlines()[-1])
    print(
        f"peak added memory: ours {peaks['ours'] / MIB:.0f} MiB, "
        f"stock {peaks['stock'] / MIB:.0f} MiB, ratio {peaks['ours'] / peaks['stock']:.3f}"
    )


if __name__ == "__main__":
    main()
