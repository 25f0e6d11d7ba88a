"""Every spelling of packed rows means the same, padding may stand anywhere, and no name is ignored."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tiny_jamba import tiny_jamba
from torch import Tensor
from transformers import DataCollatorWithFlattening, DynamicCache, JambaForCausalLM

from longllava_domains.errors import PolicyError
from longllava_domains.model.layers.carried_state import use_exact_state

EXACT = use_exact_state(copy.deepcopy(tiny_jamba()))
BOUNDS = [0, 11, 12, 30]


def some_ids(rows: int = 1, tokens: int = 30, seed: int = 0) -> Tensor:
    return torch.randint(3, 97, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(ids: Tensor, network: JambaForCausalLM = EXACT, **arguments: object) -> Tensor:
    return network(ids, **arguments).logits


def alone(ids: Tensor) -> Tensor:
    return torch.cat([logits(ids[:, start:end]) for start, end in itertools.pairwise(BOUNDS)], 1)


def lengths() -> Tensor:
    return torch.tensor(BOUNDS, dtype=torch.int32)


def positions() -> Tensor:
    return torch.cat([torch.arange(b - a) for a, b in itertools.pairwise(BOUNDS)])[None]


def segments() -> Tensor:
    sizes = [b - a for a, b in itertools.pairwise(BOUNDS)]
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[None]


@pytest.mark.parametrize(
    "packing",
    [
        {"position_ids": positions()},
        {"seq_idx": segments().int()},
        {"segment_ids": segments()},
        {"cu_seqlens": lengths()},
        {"cu_seq_lens_q": lengths(), "cu_seq_lens_k": lengths()},
        {"position_ids": positions(), "seq_idx": segments(), "cu_seq_lens_q": lengths(),
         "max_length_q": 18, "max_length_k": 18},
    ],
    ids=lambda packing: "+".join(packing),
)  # fmt: skip
def test_every_name_of_packing_isolates_the_samples(packing: dict[str, object]) -> None:
    ids = some_ids()
    torch.testing.assert_close(logits(ids, **packing), alone(ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("flash", [False, True])
@pytest.mark.parametrize("seq_idx", [False, True])
def test_a_batch_of_transformers_collator_is_its_samples(flash: bool, seq_idx: bool) -> None:
    ids = some_ids()
    samples = [
        {"input_ids": ids[0, start:end].tolist()} for start, end in itertools.pairwise(BOUNDS)
    ]
    collate = DataCollatorWithFlattening(
        return_flash_attn_kwargs=flash, return_seq_idx=seq_idx, return_tensors="pt"
    )
    batch = collate(samples)
    with torch.no_grad():
        found = EXACT(**batch)
    torch.testing.assert_close(found.logits, alone(ids), rtol=0, atol=2e-5)


def test_positions_that_go_on_are_no_packing() -> None:
    ids = some_ids(2)
    expected = logits(ids)
    for start in (0, 7):
        found = logits(ids, position_ids=torch.arange(start, start + 30)[None])
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_first_label_of_a_packed_sample_is_masked() -> None:
    ids = some_ids()
    masked = ids.clone()
    masked[0, BOUNDS[:-1]] = -100
    with torch.no_grad():
        found = EXACT(ids, labels=ids, cu_seqlens=lengths()).loss
        expected = EXACT(ids, labels=masked, cu_seqlens=lengths()).loss
        leaking = torch.nn.functional.cross_entropy(alone(ids)[0, :-1], ids[0, 1:])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert (found - leaking).abs() > 1e-3


@torch.no_grad()
def test_the_first_label_is_masked_also_under_peft() -> None:
    ids = some_ids()
    expected = EXACT(ids, labels=ids, cu_seqlens=lengths()).loss
    adapted = get_peft_model(copy.deepcopy(EXACT), LoraConfig(r=2, target_modules=["q_proj"]))
    found = adapted(input_ids=ids, labels=ids, cu_seqlens=lengths()).loss
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert type(EXACT).__name__ == "JambaForCausalLM"


@pytest.mark.parametrize("name", ["seqidx", "cu_seq_len_q", "pixel_value", "postion_ids"])
def test_a_misspelt_argument_is_refused_by_name(name: str) -> None:
    with pytest.raises(PolicyError, match=name):
        logits(some_ids(), **{name: segments()})


@pytest.mark.parametrize(
    "packing",
    [
        {"segment_ids": segments()[0]},
        {"segment_ids": segments()[:, 1:]},
        {"segment_ids": segments().float()},
        {"segment_ids": [0] * 30},
        {"seq_idx": segments().expand(2, -1)},
        {"cu_seqlens": [0, 30]},
        {"cu_seqlens": torch.tensor([0.0, 30.0])},
        {"cu_seqlens": torch.tensor(30)},
        {"cu_seqlens": torch.tensor([], dtype=torch.long)},
        {"cu_seq_lens_q": torch.tensor([0, 12, 11, 30])},
        {"cu_seq_lens_q": lengths(), "cu_seq_lens_k": torch.tensor([0, 30])},
        {"segment_ids": segments(), "cu_seqlens": torch.tensor([0, 5, 30])},
        {"position_ids": torch.arange(30)[None] * 2},
        {"position_ids": torch.arange(30)},
        {"position_ids": torch.rand(1, 30)},
    ],
)
def test_packing_that_describes_other_rows_is_refused(packing: dict[str, object]) -> None:
    with pytest.raises(PolicyError) as refusal:
        logits(some_ids(), **packing)
    assert refusal.value.code.startswith("packing.")


def test_lengths_describe_one_row_and_a_mask_two_dimensions() -> None:
    with pytest.raises(PolicyError, match="one row"):
        logits(some_ids(2), cu_seqlens=lengths())
    with pytest.raises(PolicyError, match="4 dimensions"):
        logits(some_ids(), attention_mask=torch.ones(1, 1, 30, 30))


MASKS = st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=2, max_size=3)


@settings(deadline=None, max_examples=25)
@given(mask=MASKS, size=st.integers(1, 9), seed=st.integers(0, 99))
def test_padding_anywhere_in_chunks_of_any_size_changes_nothing(
    mask: list[list[bool]], size: int, seed: int
) -> None:
    """Right, left or between: the real tokens of a row read each other and nothing else."""
    for row in mask:
        row[seed % 9] = True
    real = torch.tensor(mask)
    ids = some_ids(len(mask), 9, seed)
    cache = DynamicCache(config=EXACT.config)
    found = torch.cat(
        [
            logits(
                ids[:, start : start + size],
                attention_mask=real[:, : start + size].long(),
                past_key_values=cache,
                use_cache=True,
            )
            for start in range(0, 9, size)
        ],
        dim=1,
    )
    following = logits(
        some_ids(len(mask), 2, seed + 1),
        attention_mask=torch.nn.functional.pad(real.long(), (0, 2), value=1),
        past_key_values=cache,
        use_cache=True,
    )
    for row, kept in enumerate(real):
        whole = torch.cat([ids[row, kept], some_ids(len(mask), 2, seed + 1)[row]])[None]
        expected = logits(whole)[0]
        torch.testing.assert_close(found[row, kept], expected[:-2], rtol=0, atol=5e-5)
        torch.testing.assert_close(following[row], expected[-2:], rtol=0, atol=5e-5)


@pytest.mark.parametrize("chunk", [1, 2, 5, None])
def test_a_left_padded_batch_generates_the_same_in_chunks(chunk: int | None) -> None:
    ids = some_ids(2, 12)
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    settings = {"max_new_tokens": 6, "do_sample": False, "prefill_chunk_size": chunk}
    found = EXACT.generate(ids, attention_mask=mask, **settings)[:, 12:]
    alone = EXACT.generate(ids[:1, 5:], max_new_tokens=6, do_sample=False)[:, 7:]
    assert found[0].tolist() == alone[0].tolist()


def test_gradients_do_not_depend_on_the_side_of_the_padding() -> None:
    network = copy.deepcopy(EXACT).train()
    ids, weights = some_ids(1, 8), torch.randn(1, 8, 97)

    def gradient(before: int, after: int) -> Tensor:
        network.zero_grad()
        padded = torch.nn.functional.pad(ids, (before, after))
        mask = torch.nn.functional.pad(torch.ones_like(ids), (before, after))
        out = network(padded, attention_mask=mask, use_cache=False).logits
        (out[:, before : before + 8] * weights).sum().backward()
        return network.model.layers[0].mamba.in_proj.weight.grad.clone()

    expected = gradient(0, 0)
    for sides in ((3, 0), (0, 3), (2, 2)):
        # float32, summed in another order; processors differ in the last digits.
        torch.testing.assert_close(gradient(*sides), expected, rtol=1e-4, atol=5e-5)
