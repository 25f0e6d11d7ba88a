"""Attention over pieces equals attention over everything, on every path."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from longllava_domains.model.layers import attention, attention_flash
from longllava_domains.model.layers.attention import (
    _attend_joined,
    attend_pieces,
    attend_within_segments,
    attention_weights,
)
from longllava_domains.model.layers.attention_flash import KERNELS
from longllava_domains.model.layers.kv_storage import KeysValues

HEADS, KEY_HEADS, SIZE = 4, 2, 8
SCALE = SIZE**-0.5


def expected(query, keys, values) -> Any:
    """One softmax with an explicit mask that is causal at the end."""
    tokens, total = query.shape[2], keys.shape[2]
    mask = torch.ones(tokens, total, dtype=torch.bool).tril(total - tokens)
    return functional.scaled_dot_product_attention(
        query.double(), keys.double(), values.double(), mask, enable_gqa=True
    ).float()


def some(rows, heads, tokens) -> Any:
    return torch.randn(rows, heads, tokens, SIZE)


def keys_values(rows, tokens) -> Any:
    return KeysValues(some(rows, KEY_HEADS, tokens), some(rows, KEY_HEADS, tokens))


@pytest.mark.parametrize("attend", [attend_pieces, _attend_joined])
@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=3),
    tokens=st.integers(1, 20),
    rows=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_pieces_read_as_one(attend, lengths, tokens, rows, seed) -> None:
    torch.manual_seed(seed)
    # The first piece is shared by all rows, as a prefix is.
    pieces = [keys_values(rows if index else 1, length) for index, length in enumerate(lengths)]
    new, query = keys_values(rows, tokens), some(rows, HEADS, tokens)
    whole = [piece.keys.expand(rows, -1, -1, -1) for piece in (*pieces, new)]
    values = [piece.values.expand(rows, -1, -1, -1) for piece in (*pieces, new)]
    found = attend(query, pieces, new, SCALE)
    torch.testing.assert_close(
        found, expected(query, torch.cat(whole, 2), torch.cat(values, 2)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("attend", [attend_pieces, _attend_joined])
def test_a_token_may_be_in_its_piece_already(attend) -> None:
    pieces = [keys_values(1, 9), keys_values(1, 5)]
    query = some(1, HEADS, 1)
    whole = KeysValues(*(torch.cat(parts, 2) for parts in zip(*pieces, strict=True)))
    found = attend(query, pieces, None, SCALE)
    torch.testing.assert_close(found, expected(query, *whole), rtol=0, atol=1e-5)


def test_weights_sum_to_one_and_are_those_of_the_softmax() -> None:
    pieces = [keys_values(1, 9), keys_values(1, 5)]
    query = some(1, HEADS, 1)
    keys = torch.cat([piece.keys for piece in pieces], 2).repeat_interleave(2, 1)
    softmax = (query @ keys.transpose(2, 3) * SCALE).softmax(-1).mean(1)[:, 0]
    found = attention_weights(query, pieces, SCALE)
    torch.testing.assert_close(found, softmax)
    torch.testing.assert_close(found.sum(1), torch.ones(1))


def test_segments_equal_a_block_diagonal_mask() -> None:
    query, new = some(2, HEADS, 12), keys_values(2, 12)
    bounds = (((0, 5), (5, 12)), ((0, 12),))
    mask = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    for row, spans in enumerate(bounds):
        for start, end in spans:
            mask[row, 0, start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
    masked = functional.scaled_dot_product_attention(query, *new, mask, enable_gqa=True)
    torch.testing.assert_close(attend_within_segments(query, new, bounds), masked)


@pytest.mark.parametrize("kernel", ["flash", "efficient"])
@pytest.mark.parametrize("tokens", [1, 5])
def test_the_kernels_of_a_gpu_take_what_is_passed_to_them(kernel, tokens) -> None:
    """On torch's meta device: the operators' own shape rules, without a GPU."""
    query = torch.empty(2, HEADS, tokens, 64, dtype=torch.bfloat16, device="meta")
    tail = torch.empty(2, HEADS, 100, 64, dtype=torch.bfloat16, device="meta")[:, :, :70]
    read, mass = KERNELS[kernel](query, tail, tail, 0.1, False)
    assert read.shape == query.shape
    assert mass.shape == (2, HEADS, tokens)
    assert mass.dtype == torch.float32


def test_a_gpu_reads_the_pieces_in_place_for_few_queries_and_joins_them_for_many(
    monkeypatch,
) -> None:
    """With the kernel of the processor in the place of a GPU's, which has the same meaning."""
    joined, sources = [], []

    class OnGpu(torch.Tensor):
        """A tensor of the processor that says it is elsewhere."""

        device = torch.device("cuda", 0)

    def kernel(query, keys, values, scale, causal) -> Any:
        sources.append(keys.data_ptr())
        return KERNELS["cpu"](
            *(t.as_subclass(torch.Tensor) for t in (query, keys, values)), scale, causal
        )

    monkeypatch.setattr(
        attention_flash, "KERNELS", {**KERNELS, "flash": kernel, "efficient": kernel}
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(attention, "reads_in_place", lambda _: True)
    monkeypatch.setattr(
        attention, "_attend_joined", lambda query, *_: joined.append(query) or query
    )
    pieces = [keys_values(1, 9), keys_values(1, 5)]
    query = some(1, HEADS, 1)
    found = attend_pieces(query.as_subclass(OnGpu), pieces, None, SCALE)
    whole = KeysValues(*(torch.cat(parts, 2) for parts in zip(*pieces, strict=True)))
    torch.testing.assert_close(
        found.as_subclass(torch.Tensor), expected(query, *whole), rtol=0, atol=1e-5
    )
    assert sources == [piece.keys.data_ptr() for piece in pieces]  # nothing was copied
    assert joined == []
    attend_pieces(some(1, HEADS, 65).as_subclass(OnGpu), pieces, keys_values(1, 65), SCALE)
    assert len(joined) == 1


@pytest.mark.parametrize("fault", ["raises", "wrong"])
def test_a_kernel_that_is_not_right_is_not_used(monkeypatch, fault) -> None:
    def kernel(query, keys, values, scale, causal) -> Any:
        if fault == "raises":
            raise RuntimeError("no kernel image")
        read, mass = KERNELS["cpu"](query, keys, values, scale, causal)
        return read, mass * 1.7  # as one in another base would be

    proved = attention_flash._proved.__wrapped__
    device = torch.device("cpu")
    assert proved(device, torch.float32, SIZE)
    monkeypatch.setattr(attention_flash, "KERNELS", {**KERNELS, "cpu": kernel})
    assert not proved(device, torch.float32, SIZE)
