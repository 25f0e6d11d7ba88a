"""How full packed rows are, and what that is worth: real tokens a second, packed against padded.

The lengths are a mix that this file states, after what is published about PubMedVision and
FIT-RS: nobody's rows are needed to run it.

    python benchmarks/train_packing.py [--hidden 384] [--samples 32] [--repeats 2]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from hybrid import hybrid_config, longllava_network
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from longllava_domains.adapters.data.packing import (
    PAPER_TOKENS,
    SCRIPT_TOKENS,
    PackingPolicy,
    fill_of,
    padded_fill,
    plan_epoch,
)
from longllava_domains.adapters.training.loss import prepare_loss, summed_loss
from longllava_domains.prompt.training import IGNORED

SAMPLES = 20_000
IMAGE_TOKENS = 151
ROW_TOKENS, PADDED_BATCH = 4096, 16


def pubmedvision(chance: np.random.Generator, count: int) -> NDArray[np.int32]:
    """One image for 7 of 10 rows, up to six; questions and answers of about 40 and 140 tokens."""
    images = chance.choice([1, 2, 3, 4, 6], count, p=[0.7, 0.15, 0.08, 0.05, 0.02])
    text = chance.lognormal(np.log(40), 0.4, count) + chance.lognormal(np.log(140), 0.5, count)
    return (images * IMAGE_TOKENS + text).astype(np.int32)


def fit_rs(chance: np.random.Generator, count: int) -> NDArray[np.int32]:
    """One chip; half short answers, a quarter captions, a fifth graphs, the rest conversations."""
    middle = chance.choice([25, 110, 260, 900], count, p=[0.5, 0.25, 0.2, 0.05])
    text = middle * chance.lognormal(0, 0.35, count)
    return (IMAGE_TOKENS + text).astype(np.int32)


def report_fill(name: str, lengths: NDArray[np.int32]) -> None:
    """Print the share of tokens that are samples, for each way of making rows."""
    print(f"{name}: median {int(np.median(lengths))}, longest {lengths.max()} tokens")
    for budget in (4096, SCRIPT_TOKENS, PAPER_TOKENS):
        shown = []
        for packing in ("isolated", "paper"):
            began = time.perf_counter()
            rows = plan_epoch(lengths, PackingPolicy(packing, budget), 0, 0)
            seconds = time.perf_counter() - began
            shown.append(f"{packing} {fill_of(rows, lengths, budget):.2%} ({seconds:.2f} s)")
        print(f"  rows of {budget:>7,}: {', '.join(shown)}")
    for batch in (8, 16, 32):
        print(f"  padded batches of {batch:>2}: {padded_fill(lengths, batch):.2%}")


def seconds_of(repeats: int, *passes: Callable[[], None]) -> list[float]:
    """Return the shortest time of each of some passes, run in turns: other work disturbs both."""
    times: list[list[float]] = [[] for _ in passes]
    for _ in range(repeats):
        for taken, one in zip(times, passes, strict=True):
            began = time.perf_counter()
            one()
            taken.append(time.perf_counter() - began)
    return [min(taken) for taken in times]


def packed_pass(network: torch.nn.Module, lengths: NDArray[np.int32]) -> None:
    """Train one pass over the samples in packed rows."""
    head = prepare_loss(network)  # type: ignore[arg-type]
    for row in plan_epoch(lengths, PackingPolicy("isolated", ROW_TOKENS), 0, 0):
        sizes = torch.from_numpy(lengths[list(row)].astype(np.int64))
        ids = torch.randint(300, 1000, (1, int(sizes.sum())))
        segments = torch.arange(len(row)).repeat_interleave(sizes)[None]
        batch = {"input_ids": ids, "labels": masked(ids, segments), "segment_ids": segments}
        summed_loss(network, head, batch).backward()
        network.zero_grad()


def padded_pass(network: torch.nn.Module, lengths: NDArray[np.int32]) -> None:
    """Train one pass over the samples in batches padded on the left, with the same loss."""
    order = np.random.default_rng(0).permutation(len(lengths))
    for start in range(0, len(order), PADDED_BATCH):
        sizes = lengths[order[start : start + PADDED_BATCH]]
        longest = int(sizes.max())
        mask = (
            torch.arange(longest)[None]
            >= longest - torch.from_numpy(sizes.astype(np.int64))[:, None]
        )
        ids = torch.randint(300, 1000, mask.shape)
        labels = masked(ids, mask.long())
        hidden = network.model(  # type: ignore[operator, union-attr]
            input_ids=ids, attention_mask=mask.long(), use_cache=False
        ).last_hidden_state
        learned = labels[:, 1:] != IGNORED
        logits = network.lm_head(hidden[:, :-1][learned])  # type: ignore[operator]
        functional.cross_entropy(logits, labels[:, 1:][learned], reduction="sum").backward()
        network.zero_grad()


def masked(ids: Tensor, segments: Tensor) -> Tensor:
    """Return labels of which the first token of every sample is not learned, and half the rest."""
    first = torch.ones_like(segments, dtype=torch.bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    quiet = first | (segments == 0) & (segments.max() == 1) | (ids % 2 == 0)
    return torch.where(quiet, IGNORED, ids)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--samples", type=int, default=32, help="of the timed passes")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    chance = np.random.default_rng(0)
    parts = {"PubMedVision": pubmedvision(chance, SAMPLES), "FIT-RS": fit_rs(chance, SAMPLES)}
    parts["both"] = np.concatenate(list(parts.values()))
    for name, lengths in parts.items():
        report_fill(name, lengths)
    network = longllava_network(hybrid_config(options.hidden, 8, experts=1)).train()
    network.model.vision_tower.requires_grad_(False)
    lengths = chance.choice(parts["both"], options.samples)
    tokens = int(lengths.sum())
    print(
        f"training 8 layers of width {options.hidden} on {options.samples} samples of {tokens:,} tokens, text alone,"
    )
    packed_pass(network, lengths[:2])  # what is compiled or cached at first use
    packed_s, padded_s = seconds_of(
        options.repeats,
        lambda: packed_pass(network, lengths),
        lambda: padded_pass(network, lengths),
    )
    packed, padded = tokens / packed_s, tokens / padded_s
    print(f"  packed to rows of {ROW_TOKENS:,}: {packed:,.0f} tokens/s")
    print(
        f"  padded batches of {PADDED_BATCH}: {padded:,.0f} tokens/s, packed is {packed / padded:.2f} x"
    )


if __name__ == "__main__":
    main()
