"""How exact carried state is, beside stock transformers in the same cases.

    python benchmarks/exactness.py [--tokens 600] [--hidden 256]

Float32 on weights with a long memory: chunked prefill, a second turn, packed rows and their
gradients. Largest absolute and relative (norm) differences of the logits from one forward. For
bfloat16 the drift is measured and stated, not called exact.
"""

import argparse
import copy

import torch
from hybrid import hybrid_config, machine, stock_network
from torch import Tensor
from transformers import DynamicCache, JambaForCausalLM

from longllava_domains.model import use_exact_state
from longllava_domains.model.session.cache import SessionCache


@torch.no_grad()
def whole(network: JambaForCausalLM, ids: Tensor) -> Tensor:
    logits: Tensor = network(ids).logits
    return logits


@torch.no_grad()
def in_chunks(network: JambaForCausalLM, ids: Tensor, sizes: list[int]) -> Tensor:
    cache = DynamicCache(config=network.config)
    parts = [network(part, past_key_values=cache).logits for part in ids.split(sizes, dim=1)]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def in_session(network: JambaForCausalLM, ids: Tensor, sizes: list[int]) -> Tensor:
    """Read as sessions do: keys and values in pieces, attended to one by one."""
    cache = SessionCache(network.config)
    parts = [network(part, past_key_values=cache).logits for part in ids.split(sizes, dim=1)]
    return torch.cat(parts, dim=1)


def differences(found: Tensor, expected: Tensor) -> str:
    found, expected = found.float(), expected.float()
    largest = float((found - expected).abs().max())
    relative = float((found - expected).norm() / expected.norm())
    agree = float((found.argmax(-1) == expected.argmax(-1)).float().mean())
    return f"max {largest:.1e}, relative {relative:.1e}, tokens equal {agree:.3f}"


def packed_gradients(network: JambaForCausalLM, ids: Tensor, middle: int) -> float:
    """Return the largest relative difference of packed from separate gradients."""
    weights = torch.randn(*ids.shape, network.config.vocab_size)

    def gradients(bounds: list[tuple[int, int]], **packing: Tensor) -> list[Tensor]:
        network.zero_grad()
        for start, end in bounds:
            logits = network(ids[:, start:end], use_cache=False, **packing).logits
            (logits * weights[:, start:end]).sum().backward()
        return [value.grad.clone() for value in network.parameters() if value.grad is not None]

    tokens = ids.shape[1]
    packed = gradients([(0, tokens)], cu_seqlens=torch.tensor([0, middle, tokens]))
    separate = gradients([(0, middle), (middle, tokens)])
    pairs = zip(packed, separate, strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--experts", type=int, default=4)
    options = parser.parse_args()
    print(machine())
    stock = stock_network(hybrid_config(options.hidden, experts=options.experts))
    ours = copy.deepcopy(stock)
    use_exact_state(ours)
    tokens, middle = options.tokens, options.tokens // 2
    ids = torch.randint(3, 1024, (1, tokens))
    expected = whole(stock, ids)
    print(f"one forward, ours against stock: {differences(whole(ours, ids), expected)}")
    cases = {f"chunks of {size}": [size] * (tokens // size) for size in (1, 2, 7, 64)}
    cases["a second turn"] = [middle]
    for name, sizes in cases.items():
        left = tokens - sum(sizes)
        sizes = [*sizes, left] if left else sizes
        print(f"{name}: ours  {differences(in_chunks(ours, ids, sizes), expected)}")
        print(f"{name}: stock {differences(in_chunks(stock, ids, sizes), expected)}")
    with torch.no_grad():
        packed = ours(ids, cu_seqlens=torch.tensor([0, middle, tokens])).logits[:, middle:]
        positions = torch.cat([torch.arange(middle), torch.arange(tokens - middle)]).unsqueeze(0)
        leaked = stock(ids, position_ids=positions).logits[:, middle:]
    alone = whole(stock, ids[:, middle:])
    print(f"packed: ours  {differences(packed, alone)}")
    print(f"packed: stock {differences(leaked, alone)}")
    print(f"packed gradients: relative {packed_gradients(ours, ids, middle):.1e}")
    half = copy.deepcopy(ours).bfloat16()
    print(f"bfloat16, one forward: {differences(whole(half, ids), expected)}")
    chunked = in_chunks(half, ids, [64] * (tokens // 64) + [tokens % 64] * bool(tokens % 64))
    print(f"bfloat16, chunks of 64: {differences(chunked, expected)}")
    one = whole(half, ids)
    print(f"bfloat16, chunks against one forward: {differences(chunked, one)}")
    for size in (1, 7, 64, tokens):
        sizes = [size] * (tokens // size) + [tokens % size] * bool(tokens % size)
        read = in_session(half, ids, sizes)
        print(
            f"bfloat16, a session in chunks of {size} against one forward: {differences(read, one)}"
        )


if __name__ == "__main__":
    main()
