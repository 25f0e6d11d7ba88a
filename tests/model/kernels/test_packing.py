"""Segment ids, cumulative lengths and resets say the same thing."""

import pytest
import torch

from longllava_domains.errors import PolicyError
from longllava_domains.model.kernels.packing import (
    first_visible,
    resets_from_ids,
    segment_bounds,
    segment_ids_from_lengths,
)


def test_lengths_become_ids_resets_and_bounds() -> None:
    ids = segment_ids_from_lengths(torch.tensor([0, 2, 5, 6]), 6)
    assert ids.tolist() == [[0, 0, 1, 1, 1, 2]]
    resets = resets_from_ids(ids)
    assert resets.tolist() == [[True, False, True, False, False, True]]
    assert segment_bounds(resets) == (((0, 2), (2, 5), (5, 6)),)


def test_ids_may_repeat_and_rows_may_differ() -> None:
    resets = resets_from_ids(torch.tensor([[4, 4, 1, 4], [7, 7, 7, 7]]))
    assert segment_bounds(resets) == (((0, 2), (2, 3), (3, 4)), ((0, 4),))


def test_before_any_reset_a_filter_reaches_into_the_carried_inputs() -> None:
    resets = torch.tensor([[False, False, True, False]])
    assert first_visible(resets, 3).tolist() == [[-3, -3, 2, 2]]


@pytest.mark.parametrize("lengths", [[0], [1, 6], [0, 3, 3, 6], [0, 4, 2, 6], [0, 5]])
def test_lengths_that_do_not_cover_the_row_are_refused(lengths) -> None:
    with pytest.raises(PolicyError, match="6 tokens"):
        segment_ids_from_lengths(torch.tensor(lengths), 6)
