"""Keys and values in 8 bits: what rounding may cost, and that attention reads what is kept."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.errors import QuantizationError
from longllava_domains.model.layers import kv_storage
from longllava_domains.model.layers.attention import (
    _attend_joined,
    attend_pieces,
    attention_weights,
)
from longllava_domains.model.layers.kv_storage import (
    KeysValues,
    blocks,
    quantized,
    resolve_kv_cache_dtype,
    whole,
)
from longllava_domains.model.session.cache import Int8KeyValues

HEADS, KEY_HEADS, SIZE = 4, 2, 8
SCALE = SIZE**-0.5


def keys_and_values(rows: int, tokens: int, dtype: torch.dtype = torch.float32) -> KeysValues:
    shape = (rows, KEY_HEADS, tokens, SIZE)
    return KeysValues(torch.randn(shape).to(dtype), torch.randn(shape).to(dtype))


@given(
    size=st.sampled_from([0.0, 1e-42, 1e-6, 1.0, 1e4, 3e38]),
    tokens=st.integers(1, 9),
    width=st.sampled_from([1, 7, 128]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=80)
def test_a_number_comes_back_within_half_a_scale(size, tokens, width, dtype, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    numbers = (torch.rand(2, 3, tokens, width, generator=generator) * 2 - 1) * size
    held = quantized(KeysValues(numbers.to(dtype), -numbers.to(dtype)))
    for codes, scales, given_ in (
        (held.keys, held.key_scales, numbers.to(dtype)),
        (held.values, held.value_scales, -numbers.to(dtype)),
    ):
        assert codes.dtype == torch.int8
        assert codes.abs().max() <= 127
        assert scales.dtype == torch.float32
        assert scales.shape == (2, 3, tokens, 1)
        off = (codes.double() * scales.double() - given_.double()).abs()
        assert (off <= scales.double() * (0.5 + 1e-5)).all()


@given(outlier=st.integers(0, 4), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_one_large_token_costs_its_neighbours_nothing(outlier, seed) -> None:
    torch.manual_seed(seed)
    new = keys_and_values(1, 5)
    alone = quantized(new)
    new.keys[:, :, outlier] *= 1e3
    beside = quantized(new)
    others = [token for token in range(5) if token != outlier]
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one[:, :, others], other[:, :, others])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_does_not_become_a_number(bad) -> None:
    new = keys_and_values(1, 3)
    new.keys[0, 1, 2, 5] = bad
    back = whole(quantized(new), torch.float32).keys
    assert not torch.isfinite(back[0, 1, 2]).any()
    assert torch.isfinite(back[0, 1, :2]).all()


def test_a_bfloat16_number_is_rounded_once_from_the_product_in_float32() -> None:
    held = quantized(keys_and_values(1, 50, torch.bfloat16))
    exact = (held.keys.double() * held.key_scales.double()).float().bfloat16()
    assert torch.equal(whole(held, torch.bfloat16).keys, exact)


@pytest.mark.parametrize("tokens", [1, 3, 4, 9])
def test_blocks_are_the_whole_in_turn(tokens, monkeypatch) -> None:
    monkeypatch.setattr(kv_storage, "BLOCK_TOKENS", 4)
    held = quantized(keys_and_values(2, tokens))
    found = list(blocks(held, torch.float32))
    assert [block.keys.shape[2] for block in found] == [4] * (tokens // 4) + [tokens % 4] * (
        tokens % 4 > 0
    )
    for part, expected in zip(zip(*found, strict=True), whole(held, torch.float32), strict=True):
        assert torch.equal(torch.cat(part, 2), expected)


@pytest.mark.parametrize("attend", [attend_pieces, _attend_joined])
@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 20), max_size=3),
    tokens=st.integers(1, 9),
    rows=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_attention_reads_what_is_kept(attend, lengths, tokens, rows, seed) -> None:
    torch.manual_seed(seed)
    query = torch.randn(rows, HEADS, tokens, SIZE)
    kept = [quantized(keys_and_values(rows if index else 1, n)) for index, n in enumerate(lengths)]
    new = quantized(keys_and_values(rows, tokens))
    plain = [whole(piece, torch.float32) for piece in (*kept, new)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_storage, "BLOCK_TOKENS", 4)
        found = attend(query, kept, new, SCALE)
        weights = attention_weights(query[:, :, :1], [*kept, new], SCALE)
    expected = attend_pieces(query, plain[:-1], plain[-1], SCALE)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    same = attention_weights(query[:, :, :1], plain, SCALE)
    torch.testing.assert_close(weights, same, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 11), max_size=3, unique=True), seed=st.integers(0, 99))
def test_chunks_and_rewound_detours_leave_what_one_call_leaves(cuts, seed) -> None:
    torch.manual_seed(seed)
    query, new = torch.randn(1, HEADS, 12, SIZE), keys_and_values(1, 12)
    at_once, in_turn = Int8KeyValues(), Int8KeyValues()
    expected = at_once.attend(query, new, SCALE)
    reads = []
    bounds = [0, *sorted(cuts), 12]
    for start, end in pairwise(bounds):
        mark = in_turn.mark()
        in_turn.attend(query[:, :, :2], keys_and_values(1, 2), SCALE)
        in_turn.rewind(mark)
        in_turn = in_turn.fork()
        part = KeysValues(*(both[:, :, start:end] for both in new))
        reads.append(in_turn.attend(query[:, :, start:end], part, SCALE))
    torch.testing.assert_close(torch.cat(reads, 2), expected, rtol=0, atol=2e-6)
    (once,) = at_once.pieces()
    for part, parts in zip(once, zip(*in_turn.pieces(), strict=True), strict=True):
        assert torch.equal(part, torch.cat(parts, 2))


@pytest.mark.parametrize("name", ["int4", "INT8", "", "bfloat16"])
def test_an_unknown_precision_is_refused(name) -> None:
    with pytest.raises(QuantizationError) as caught:
        resolve_kv_cache_dtype(name)
    assert caught.value.code == "quantization.kv_cache_dtype"
