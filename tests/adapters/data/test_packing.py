import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.adapters.data.packing import (
    PackingPolicy,
    fill_of,
    padded_fill,
    plan_epoch,
)
from longllava_domains.errors import PolicyError

LENGTHS = st.lists(st.integers(1, 50), max_size=60).map(lambda sizes: np.array(sizes, np.int32))


@settings(deadline=None)
@given(LENGTHS, st.sampled_from(["isolated", "paper", "none"]), st.integers(1, 20))
def test_every_sample_stands_in_exactly_one_row_that_holds_it(lengths, packing, buffer) -> None:
    policy = PackingPolicy(packing, 50, buffer)
    rows = plan_epoch(lengths, policy, seed=1, epoch=0)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(row and lengths[list(row)].sum() <= 50 for row in rows)
    assert packing != "none" or all(len(row) == 1 for row in rows)


@settings(deadline=None)
@given(LENGTHS)
def test_at_most_one_row_is_less_than_half_full(lengths) -> None:
    rows = plan_epoch(lengths, PackingPolicy("isolated", 50), seed=0, epoch=0)
    assert sum(lengths[list(row)].sum() <= 25 for row in rows) <= 1


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 500).astype(np.int32)
    policy = PackingPolicy("isolated", 100, 64)
    first = plan_epoch(lengths, policy, seed=3, epoch=1)
    assert first == plan_epoch(lengths.copy(), policy, seed=3, epoch=1)
    assert first != plan_epoch(lengths, policy, seed=3, epoch=2)
    assert first != plan_epoch(lengths, policy, seed=4, epoch=1)


def test_the_order_of_training_does_not_follow_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 2000).astype(np.int32)
    rows = plan_epoch(lengths, PackingPolicy("isolated", 100), seed=0, epoch=0)
    longest = np.array([lengths[list(row)].max() for row in rows], float)
    rank = np.corrcoef(np.arange(len(rows)), longest)[0, 1]
    assert abs(rank) < 0.15


def test_packing_fills_rows_that_padding_leaves_empty() -> None:
    chance = np.random.default_rng(0)
    lengths = np.clip(chance.lognormal(5.5, 0.6, 5000), 30, 2000).astype(np.int32)
    rows = plan_epoch(lengths, PackingPolicy("isolated", 4096, 1024), seed=0, epoch=0)
    assert fill_of(rows, lengths, 4096) > 0.98
    assert padded_fill(lengths, 16) < 0.6
    assert fill_of([], lengths, 4096) == padded_fill(lengths[:0], 4) == 0.0


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(PolicyError, match="60 tokens does not fit a row of 50"):
        plan_epoch(np.array([10, 60], np.int32), PackingPolicy("isolated", 50), 0, 0)


@pytest.mark.parametrize("how", [{"packing": "tight"}, {"tokens_per_row": 0}, {"buffer": 0}])
def test_a_packing_that_cannot_be_is_refused(how) -> None:
    with pytest.raises(PolicyError):
        PackingPolicy(**how)
