"""What is said to flash-attn's kernel, over a function of torch with its signature and meaning."""

import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_jamba import tiny_jamba

from longllava_domains.model import use_exact_state
from longllava_domains.model.kernels.packing import resets_from_ids, segment_bounds
from longllava_domains.model.layers import attention, attention_varlen
from longllava_domains.model.layers.attention import KeysValues, attend_within_segments
from longllava_domains.model.layers.attention_varlen import attend_varlen, varlen_for


def torch_varlen(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0,
    softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
    deterministic=False, return_attn_probs=False, block_table=None,
) -> Any:  # fmt: skip
    """`flash_attn_varlen_func` of flash-attn 2, by its documentation: plain, slow, and strict."""
    assert dropout_p == softcap == 0.0
    assert window_size == (-1, -1)
    assert alibi_slopes is block_table is None
    assert not deterministic
    assert not return_attn_probs
    for part, lengths, longest in (
        (q, cu_seqlens_q, max_seqlen_q), (k, cu_seqlens_k, max_seqlen_k),
        (v, cu_seqlens_k, max_seqlen_k),
    ):  # fmt: skip
        assert part.ndim == 3
        assert part.stride(2) == 1
        assert lengths.dtype == torch.int32
        assert lengths.is_contiguous()
        assert (int(lengths[0]), int(lengths[-1])) == (0, len(part))
        assert type(longest) is int
        assert int(lengths.diff().max()) <= longest
    scale = q.shape[2] ** -0.5 if softmax_scale is None else softmax_scale
    groups = q.shape[1] // k.shape[1]  # head h of the queries reads key/value head h // groups
    read = torch.empty_like(q)
    of_queries, of_keys = pairwise(cu_seqlens_q.tolist()), pairwise(cu_seqlens_k.tolist())
    for (start, end), (from_, to) in zip(of_queries, of_keys, strict=True):
        for head in range(q.shape[1]):
            scores = q[start:end, head] @ k[from_:to, head // groups].T * scale
            if causal:  # aligned at the bottom right
                ahead = 1 + (to - from_) - (end - start)
                later = torch.ones_like(scores, dtype=torch.bool).triu(ahead)
                scores = scores.masked_fill(later, -torch.inf)
            read[start:end, head] = scores.softmax(-1) @ v[from_:to, head // groups]
    return read


@st.composite
def packed_rows(draw) -> torch.Tensor:
    """Segment ids (rows, tokens): random lengths, and padding (-1) on the left of some rows."""
    tokens = draw(st.integers(1, 24))
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        ids = [-1] * draw(st.integers(0, tokens - 1))
        segment = 0
        while len(ids) < tokens:
            ids += [segment] * draw(st.integers(1, tokens - len(ids)))
            segment += 1
        rows.append(ids)
    return torch.tensor(rows)


@settings(deadline=None, max_examples=40)
@given(
    ids=packed_rows(),
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
    size=st.sampled_from([1, 8]),
    seed=st.integers(0, 99),
)
def test_one_call_reads_and_learns_as_one_call_for_each_sample(ids, heads, size, seed) -> None:
    torch.manual_seed(seed)
    rows, tokens = ids.shape
    bounds = segment_bounds(resets_from_ids(ids))

    def projected(count: int) -> torch.Tensor:
        return torch.randn(rows, tokens, count, size, dtype=torch.float64).transpose(1, 2)

    inputs = [projected(heads[0]), projected(heads[1]), projected(heads[1])]
    upstream = torch.randn(rows, heads[0], tokens, size, dtype=torch.float64)
    found, expected = ([part.clone().requires_grad_() for part in inputs] for _ in range(2))
    ours = attend_varlen(*found, bounds, torch_varlen)
    theirs = attend_within_segments(expected[0], KeysValues(*expected[1:]), bounds)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(ours, found, upstream),
        torch.autograd.grad(theirs, expected, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_packed_network_gives_the_same_logits_and_gradients_through_the_kernel(
    monkeypatch,
) -> None:
    network = use_exact_state(tiny_jamba())
    ids = torch.randint(1, 97, (2, 20))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    segments = torch.tensor([[0] * 7 + [1] * 13, [0] * 9 + [1] * 6 + [2] * 5])
    calls: list[int] = []

    def counted(*args, **kwargs) -> Any:
        calls.append(len(args[3]) - 1)
        return torch_varlen(*args, **kwargs)

    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits = network(ids, attention_mask=mask, segment_ids=segments).logits
        shown = logits[mask.bool()]
        return shown, list(torch.autograd.grad(shown.square().sum(), network.parameters()))

    logits, gradients = run()
    monkeypatch.setattr(attention, "varlen_for", lambda _: counted)
    through, theirs = run()
    assert calls == [6, 6]  # two layers; two samples, and padding with three
    torch.testing.assert_close(through, logits, rtol=0, atol=1e-5)
    for one, other in zip(theirs, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def query_on(device: str, dtype: torch.dtype, size: int = 128) -> SimpleNamespace:
    """What `varlen_for` asks of a tensor, without the device."""
    return SimpleNamespace(device=torch.device(device), dtype=dtype, shape=(1, 4, 9, size))


@pytest.fixture
def installed(monkeypatch) -> Any:
    """An importable flash-attn on a device of compute capability 9.0."""
    monkeypatch.setitem(
        sys.modules, "flash_attn", SimpleNamespace(flash_attn_varlen_func=torch_varlen)
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    attention_varlen._installed.cache_clear()
    yield
    attention_varlen._installed.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.usefixtures("installed")
def test_the_kernel_is_used_where_it_can_run(dtype) -> None:
    assert varlen_for(query_on("cuda", dtype)) is torch_varlen


@pytest.mark.usefixtures("installed")
def test_the_kernel_is_not_used_where_it_cannot_run(monkeypatch) -> None:
    assert varlen_for(query_on("cpu", torch.bfloat16)) is None
    assert varlen_for(query_on("cuda", torch.float32)) is None
    assert varlen_for(query_on("cuda", torch.bfloat16, size=320)) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert varlen_for(query_on("cuda", torch.bfloat16)) is None


@pytest.mark.usefixtures("installed")
def test_without_the_package_torch_attends(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)  # importing it raises ImportError
    assert varlen_for(query_on("cuda", torch.bfloat16)) is None
