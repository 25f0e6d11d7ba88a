"""A network with exact state gives one answer, however its tokens are cut, cached or packed.

Beside it, the error of the stock network in the same cases, which is why this exists.
"""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tiny_jamba import tiny_jamba
from torch import Tensor
from transformers import DynamicCache, JambaForCausalLM

from longllava_domains.errors import PolicyError
from longllava_domains.model.layers import carried_state
from longllava_domains.model.layers.carried_state import use_exact_state

TOKENS = 90
STOCK = tiny_jamba()
EXACT = use_exact_state(copy.deepcopy(STOCK))


def some_ids(rows: int = 1, tokens: int = TOKENS, seed: int = 0) -> Tensor:
    return torch.randint(3, 97, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def in_chunks(network: JambaForCausalLM, ids: Tensor, bounds: list[int]) -> Tensor:
    cache = DynamicCache(config=network.config)
    chunks = [ids[:, start:end] for start, end in itertools.pairwise(bounds)]
    return torch.cat(
        [network(chunk, past_key_values=cache, use_cache=True).logits for chunk in chunks], 1
    )


@torch.no_grad()
def whole(network: JambaForCausalLM, ids: Tensor, **settings: Tensor) -> Tensor:
    return network(ids, **settings).logits


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_one_forward_equals_stock_transformers() -> None:
    ids = some_ids(2)
    torch.testing.assert_close(whole(EXACT, ids), whole(STOCK, ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 64, TOKENS])
def test_any_chunking_equals_one_forward(size) -> None:
    ids = some_ids(2)
    expected = whole(EXACT, ids)
    bounds = [*range(0, TOKENS, size), TOKENS]
    torch.testing.assert_close(in_chunks(EXACT, ids, bounds), expected, rtol=0, atol=2e-5)
    if 1 < size < TOKENS:
        assert relative_error(in_chunks(STOCK, ids, bounds), expected) > 1e-2


@settings(deadline=None, max_examples=10)
@given(cuts=st.sets(st.integers(1, 59), max_size=8), seed=st.integers(0, 99))
def test_cuts_anywhere_equal_one_forward(cuts, seed) -> None:
    ids = some_ids(1, 60, seed)
    found = in_chunks(EXACT, ids, [0, *sorted(cuts), 60])
    torch.testing.assert_close(found, whole(EXACT, ids), rtol=0, atol=2e-5)


def test_layers_that_run_in_chunks_change_nothing(monkeypatch) -> None:
    ids = some_ids(2, 150)
    mask = torch.ones_like(ids)
    mask[0, :70] = 0
    expected = whole(EXACT, ids, attention_mask=mask)
    monkeypatch.setitem(carried_state.TOKENS_PER_CHUNK, "cpu", 128)
    found = whole(EXACT, ids, attention_mask=mask)
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], rtol=0, atol=2e-5)


def test_padding_on_the_left_changes_nothing_also_across_chunks() -> None:
    ids = some_ids(1, 40)
    expected = whole(EXACT, ids)
    padded = torch.cat([torch.zeros(1, 9, dtype=torch.long), ids], 1)
    mask = torch.ones_like(padded)
    mask[:, :9] = 0
    found = whole(EXACT, padded, attention_mask=mask)[:, 9:]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    cache = DynamicCache(config=EXACT.config)
    with torch.no_grad():
        EXACT(padded[:, :13], attention_mask=mask[:, :13], past_key_values=cache)
        rest = EXACT(padded[:, 13:], attention_mask=mask, past_key_values=cache).logits
    torch.testing.assert_close(rest, expected[:, 4:], rtol=0, atol=2e-5)


@settings(deadline=None, max_examples=8)
@given(begins=st.sets(st.integers(1, 59), max_size=5), seed=st.integers(0, 99))
def test_packed_rows_equal_separate_rows(begins, seed) -> None:
    ids = some_ids(1, 60, seed)
    bounds = [0, *sorted(begins), 60]
    found = whole(EXACT, ids, cu_seqlens=torch.tensor(bounds))
    for start, end in itertools.pairwise(bounds):
        alone = whole(EXACT, ids[:, start:end])
        torch.testing.assert_close(found[:, start:end], alone, rtol=0, atol=2e-5)


def test_packed_rows_of_several_samples_each_and_padding() -> None:
    ids = some_ids(2, 40)
    segments = torch.zeros(2, 40, dtype=torch.long)
    segments[0, 11:] = 1
    segments[1, 30:] = 1
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1, 30:] = 0
    found = whole(EXACT, ids, segment_ids=segments, attention_mask=mask)
    for row, start, end in ((0, 0, 11), (0, 11, 40), (1, 0, 30)):
        alone = whole(EXACT, ids[row : row + 1, start:end])
        torch.testing.assert_close(found[row : row + 1, start:end], alone, rtol=0, atol=2e-5)


def test_stock_packing_leaks() -> None:
    ids = some_ids(1, 60)
    positions = torch.arange(60).unsqueeze(0)
    positions[:, 30:] -= 30
    leaked = whole(STOCK, ids, position_ids=positions)[:, 30:]
    assert relative_error(leaked, whole(STOCK, ids[:, 30:])) > 1e-2


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_of_packed_rows_are_the_sum_of_separate_ones(checkpointing) -> None:
    network = copy.deepcopy(EXACT).train()
    if checkpointing:
        network.activation_checkpointing_enable()
    ids = some_ids(1, 50)
    weights = torch.randn(1, 50, 97)

    def gradients(parts: list[tuple[Tensor, Tensor, dict[str, Tensor]]]) -> dict[str, Tensor]:
        network.zero_grad()
        for part, weight, packing in parts:
            (network(part, use_cache=False, **packing).logits * weight).sum().backward()
        return {name: value.grad.clone() for name, value in network.named_parameters()}

    packed = gradients([(ids, weights, {"cu_seqlens": torch.tensor([0, 20, 50])})])
    separate = gradients([(ids[:, :20], weights[:, :20], {}), (ids[:, 20:], weights[:, 20:], {})])
    for name, expected in separate.items():
        error = (packed[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
        assert error < 1e-4, name


def test_gradients_equal_those_of_stock_transformers() -> None:
    ids = some_ids(1, 50)
    grads = []
    for network in (copy.deepcopy(STOCK), copy.deepcopy(EXACT)):
        network(ids, labels=ids).loss.backward()
        grads.append({name: value.grad for name, value in network.named_parameters()})
    for name, expected in grads[0].items():
        error = (grads[1][name] - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
        assert error < 1e-4, name


def test_generate_in_prefill_chunks_and_over_two_turns() -> None:
    ids = some_ids(1, 40)
    expected = EXACT.generate(ids, max_new_tokens=8, do_sample=False)
    assert torch.equal(STOCK.generate(ids, max_new_tokens=8, do_sample=False), expected)
    chunked = EXACT.generate(ids, max_new_tokens=8, do_sample=False, prefill_chunk_size=7)
    assert torch.equal(chunked, expected)
    cache = DynamicCache(config=EXACT.config)
    with torch.no_grad():
        EXACT(ids[:, :25], past_key_values=cache)
    resumed = EXACT.generate(ids, past_key_values=cache, max_new_tokens=8, do_sample=False)
    assert torch.equal(resumed, expected)


def test_it_still_records_states_and_routing() -> None:
    with torch.no_grad():
        outputs = EXACT(some_ids(), output_hidden_states=True, output_router_logits=True)
    assert len(outputs.hidden_states) == 7
    assert len(outputs.router_logits) == 3


def test_parameters_keep_their_names_and_a_second_call_changes_nothing() -> None:
    assert list(EXACT.state_dict()) == list(STOCK.state_dict())
    again = use_exact_state(copy.deepcopy(EXACT))
    ids = some_ids()
    packing = torch.tensor([0, 40, TOKENS])
    assert torch.equal(whole(again, ids, cu_seqlens=packing), whole(EXACT, ids, cu_seqlens=packing))


def test_layers_stay_whole_when_devices_are_mapped() -> None:
    assert {"ExactMambaLayer", "ExactAttentionLayer"} <= EXACT._no_split_modules


def test_a_packed_row_cannot_continue_a_cache() -> None:
    cache = DynamicCache(config=EXACT.config)
    ids = some_ids()
    with torch.no_grad():
        EXACT(ids, past_key_values=cache)
    with pytest.raises(PolicyError, match="cannot continue a cache"):
        whole(EXACT, ids, cu_seqlens=torch.tensor([0, TOKENS]), past_key_values=cache)


def test_bfloat16_drifts_by_its_rounding_only() -> None:
    """bfloat16 is not exact, and not called exact: the drift of chunks is that of one forward."""
    network = copy.deepcopy(EXACT).bfloat16()
    ids = some_ids()
    expected = whole(EXACT, ids)
    one = relative_error(whole(network, ids).float(), expected)
    chunked = relative_error(
        in_chunks(network, ids, [*range(0, TOKENS, 7), TOKENS]).float(), expected
    )
    assert one < 0.1
    assert chunked < 2 * one


@pytest.mark.parametrize(
    "way", [{"cache_implementation": "static"}, {"num_beams": 3}, {"use_cache": False}]
)
def test_other_ways_to_generate_are_those_of_stock_transformers(way) -> None:
    ids = some_ids(1, 12)
    options = {"max_new_tokens": 5, "do_sample": False, "disable_compile": True, **way}
    assert torch.equal(EXACT.generate(ids, **options), STOCK.generate(ids, **options))


def test_mixed_precision_training_keeps_the_scan_in_float32() -> None:
    ids = some_ids(1, 40)
    network = copy.deepcopy(EXACT).train()
    expected = network(ids, labels=ids).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(ids, labels=ids).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)
    assert all(torch.isfinite(value.grad).all() for value in network.parameters())


def test_one_token_on_a_cache_can_be_trained() -> None:
    network = copy.deepcopy(EXACT)
    cache = DynamicCache(config=network.config)
    with torch.no_grad():
        network(some_ids(1, 10), past_key_values=cache)
    network(some_ids(1, 1), past_key_values=cache).logits.sum().backward()
    assert network.model.layers[0].mamba.dt_proj.weight.grad.abs().sum() > 0


def test_an_adapter_on_the_time_step_has_an_effect() -> None:
    """The stock mixer reads the weight of dt_proj and never calls it: adapters there do nothing."""
    targets = LoraConfig(target_modules=["dt_proj"], init_lora_weights=False)
    ids = some_ids()
    adapted = get_peft_model(copy.deepcopy(EXACT), targets)
    assert relative_error(whole(adapted, ids), whole(EXACT, ids)) > 1e-2
    ignored = get_peft_model(copy.deepcopy(STOCK), targets)
    assert torch.equal(whole(ignored, ids), whole(STOCK, ids))
