"""One decoding step on the CPU, against stock transformers.

    python benchmarks/decode_step.py [--prompt 512] [--steps 40] [--hidden 512]

Greedy steps after a prompt, by turns on the same weights. Ours runs twice: with transformers'
cache (as `generate` does) and with the cache of a session.
"""

import argparse
import copy
import statistics
import time

import torch
from hybrid import hybrid_config, machine, stock_network
from transformers import Cache, DynamicCache, JambaForCausalLM

from longllava_domains.model import use_exact_state
from longllava_domains.model.session.cache import SessionCache


def step(network: JambaForCausalLM, cache: Cache, token: torch.Tensor) -> torch.Tensor:
    logits = network(token, past_key_values=cache, use_cache=True).logits
    chosen: torch.Tensor = logits[:, -1:].argmax(-1)
    return chosen


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--experts", type=int, default=16)
    options = parser.parse_args()
    print(machine())
    config = hybrid_config(options.hidden, experts=options.experts)
    stock = stock_network(config)
    ours = copy.deepcopy(stock)
    use_exact_state(ours)
    ids = torch.randint(3, 1024, (1, options.prompt))
    contenders: dict[str, tuple[JambaForCausalLM, Cache]] = {
        "stock": (stock, DynamicCache(config=config)),
        "ours, transformers' cache": (ours, DynamicCache(config=config)),
        "ours, session": (ours, SessionCache(config)),
    }
    tokens = {name: step(network, cache, ids) for name, (network, cache) in contenders.items()}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.steps):
        for name, (network, cache) in contenders.items():
            start = time.perf_counter()
            tokens[name] = step(network, cache, tokens[name])
            taken[name].append(time.perf_counter() - start)
    assert len({int(token) for token in tokens.values()}) == 1, "the contenders disagree"
    base = statistics.median(taken["stock"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:26} {median * 1e3:7.2f} ms a step, {base / median:.2f} times stock's speed")


if __name__ == "__main__":
    main()
