"""Packing: which samples share a row of tokens, decided before anything is loaded.

Samples are walked in a random order, gathered in a bounded buffer, and put into rows by
first-fit-decreasing: the longest first, each into the first row that has room. Nothing is dropped
and nothing is cut, and each picture's tokens are counted once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import PolicyError

Packing = Literal["isolated", "paper", "none"]

# Tokens of a packed row: the released training scripts, and the paper's newest text.
SCRIPT_TOKENS: Final = 40_960
PAPER_TOKENS: Final = 176_000

RowPlan = tuple[int, ...]
"""Numbers of the samples in one row, in order."""


@dataclass(frozen=True)
class PackingPolicy:
    """Rules by which samples are put into rows.

    Attributes:
        packing: ``"isolated"`` packs tightly, and the network keeps samples apart; ``"paper"``
            fills rows in random order without keeping samples apart, as the original training
            did, for comparison; ``"none"`` gives every sample its own row.
        tokens_per_row: The most tokens of a row, and so of a sample.
        buffer: Samples that are looked at together; larger fills rows better.

    Raises:
        PolicyError: A value out of range.
    """

    packing: Packing = "isolated"
    tokens_per_row: int = SCRIPT_TOKENS
    buffer: int = 4096

    def __post_init__(self) -> None:
        if self.packing not in get_args(Packing) or self.tokens_per_row < 1 or self.buffer < 1:
            raise PolicyError(
                "This packing cannot be followed.",
                remedy=f"Use {', '.join(get_args(Packing))}, with a positive budget and buffer.",
                code="training.packing",
            )


def plan_epoch(
    tokens: NDArray[np.int32], policy: PackingPolicy, seed: int, epoch: int
) -> list[RowPlan]:
    """Put every sample into exactly one row.

    Args:
        tokens: (samples,) tokens of each sample.
        policy: How.
        seed: Of the training.
        epoch: Counted from 0; the plan depends on nothing but these four.

    Returns:
        Rows in the order of training.

    Raises:
        PolicyError: A sample is longer than a row.
    """
    if len(tokens) and int(tokens.max()) > policy.tokens_per_row:
        raise PolicyError(
            f"A sample of {int(tokens.max())} tokens does not fit a row of {policy.tokens_per_row}.",
            remedy="Raise the budget, or check the data with it: longer samples are dropped there.",
            code="training.too_long",
            facts={"tokens": int(tokens.max()), "tokens_per_row": policy.tokens_per_row},
        )
    chance = np.random.default_rng([seed, epoch])
    order: list[int] = chance.permutation(len(tokens)).tolist()
    if policy.packing == "none":
        return [(number,) for number in order]
    if policy.packing == "paper":
        return list(_next_fit(order, tokens, policy.tokens_per_row))
    rows = list(_first_fit_decreasing(order, tokens, policy))
    # A buffer yields its longest samples first; the order of training must not follow length.
    return [rows[number] for number in chance.permutation(len(rows))]


def fill_of(rows: Sequence[RowPlan], tokens: NDArray[np.int32], tokens_per_row: int) -> float:
    """Return the share of the rows' tokens that are samples, from 0 to 1."""
    used = sum(int(tokens[list(row)].sum()) for row in rows)
    return used / (len(rows) * tokens_per_row) if rows else 0.0


def padded_fill(tokens: NDArray[np.int32], samples_per_batch: int, seed: int = 0) -> float:
    """Return the share of tokens that are samples where batches are padded to their longest.

    Args:
        tokens: (samples,) tokens of each sample.
        samples_per_batch: Samples of a batch, in random order.
        seed: Of the order.
    """
    order = np.random.default_rng([seed, 0]).permutation(len(tokens))
    batches = [
        tokens[order[start : start + samples_per_batch]]
        for start in range(0, len(order), samples_per_batch)
    ]
    padded = sum(int(batch.max()) * len(batch) for batch in batches)
    return int(tokens.sum()) / padded if padded else 0.0


def _next_fit(order: list[int], tokens: NDArray[np.int32], limit: int) -> Iterator[RowPlan]:
    row: list[int] = []
    used = 0
    for number in order:
        length = int(tokens[number])
        if used + length > limit:
            yield tuple(row)
            row, used = [], 0
        row.append(number)
        used += length
    if row:
        yield tuple(row)


def _first_fit_decreasing(
    order: list[int], tokens: NDArray[np.int32], policy: PackingPolicy
) -> Iterator[RowPlan]:
    waiting: list[int] = []
    for start in range(0, len(order), policy.buffer):
        waiting += order[start : start + policy.buffer]
        rows, room = _fit(waiting, tokens, policy.tokens_per_row)
        # The row with the most room waits for the next buffer.
        emptiest = int(np.argmax(room))
        waiting = rows.pop(emptiest)
        yield from map(tuple, rows)
    if waiting:
        yield tuple(waiting)


def _fit(
    numbers: list[int], tokens: NDArray[np.int32], limit: int
) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Put samples into as few rows as first-fit-decreasing does; return rows and their room."""
    lengths = tokens[numbers]
    room = np.full(len(numbers), limit, np.int64)
    rows: list[list[int]] = []
    for place in np.argsort(-lengths.astype(np.int64), kind="stable").tolist():
        length = int(lengths[place])
        # Rows that were not begun have all their room, so some row always fits.
        chosen = int(np.argmax(room[: len(rows) + 1] >= length))
        if chosen == len(rows):
            rows.append([])
        rows[chosen].append(numbers[place])
        room[chosen] -= length
    return rows, room[: len(rows)]
