"""Sessions that keep keys and values in 8 bits: what it costs, what it saves, what still holds."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from golden import GOLDEN, Golden
from live_memory import LiveMemory
from small_network import small_network
from tiny_longllava import tiny_model, views
from tiny_released import write_released

from longllava_domains.errors import MemoryBudgetError, QuantizationError
from longllava_domains.model import LongLlava, answer_many, load_checkpoint, load_model
from longllava_domains.model.budget.activations import Step, _attention
from longllava_domains.model.budget.fit import largest_views
from longllava_domains.model.budget.known_models import network_of
from longllava_domains.model.budget.plan import Request, plan
from longllava_domains.model.layers.kv_storage import KeysValues
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.prefix_state import key_value_bytes_per_token
from longllava_domains.visual import VisualSequence

PLAIN = tiny_model()
MODEL = LongLlava(PLAIN.network, PLAIN.processor, PLAIN.provenance, kv_cache_dtype="int8")
SEQUENCE = views(7)
QUESTION = "Is there a nodule?"
CHOICES = ("Yes", "No", "Maybe not")


def logprobs(session) -> list[float]:
    return [each for score in session.score(QUESTION, CHOICES) for each in score.token_logprobs]


def test_log_probabilities_stay_close_to_those_of_an_exact_cache() -> None:
    found, exact = (torch.tensor(logprobs(model.open(SEQUENCE))) for model in (MODEL, PLAIN))
    print(f"\nlargest difference of a log-probability: {(found - exact).abs().max():.4f}")
    assert 0 < (found - exact).abs().max() < 0.05


@pytest.mark.parametrize("chunk_tokens", [1, 7, 64])
def test_chunks_change_nothing(chunk_tokens) -> None:
    found = logprobs(MODEL.open(SEQUENCE, chunk_tokens=chunk_tokens, view_batch=2))
    # Up to a number that lies between two codes, and float32 lets it fall to the other side.
    assert found == pytest.approx(logprobs(MODEL.open(SEQUENCE)), abs=1e-3)


def test_forks_and_scores_leave_no_trace() -> None:
    trunk = MODEL.open(SEQUENCE)
    before = logprobs(trunk)
    fork = trunk.fork()
    first = fork.ask("Where?", max_new_tokens=4)
    assert logprobs(trunk) == before
    alone = MODEL.open(SEQUENCE)
    assert alone.ask("Where?", max_new_tokens=4).token_ids == first.token_ids
    second = fork.ask("Sure?", max_new_tokens=4)
    again = alone.ask("Sure?", max_new_tokens=4)
    assert again.token_ids == second.token_ids
    assert again.token_logprobs == pytest.approx(second.token_logprobs, abs=2e-5)


def test_a_cache_goes_back_to_where_it_was() -> None:
    cache = MODEL.open(SEQUENCE).memory._prefix.fork()
    held = [layer.pieces() for layer in cache._attention()]
    mark = cache.mark()
    with torch.no_grad():
        MODEL.network.model.language_model(
            inputs_embeds=torch.randn(1, 5, 32), past_key_values=cache, use_cache=True
        )
    cache.rewind(mark)
    for layer, pieces in zip(cache._attention(), held, strict=True):
        for piece, before in zip(layer.pieces(), pieces, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(piece, before, strict=True))


def test_views_shown_later_equal_views_shown_at_once() -> None:
    session = MODEL.open(VisualSequence(SEQUENCE.views[:3]))
    session.extend(VisualSequence(SEQUENCE.views[3:]))
    assert logprobs(session) == pytest.approx(logprobs(MODEL.open(SEQUENCE)), abs=1e-3)


def test_many_sessions_answer_as_each_alone() -> None:
    sessions = [MODEL.open(views(count, seed=count)) for count in (1, 5, 3)]
    together = answer_many([(session, QUESTION) for session in sessions], max_new_tokens=6)
    for session, answer in zip(sessions, together, strict=True):
        alone = session.fork().ask(QUESTION, max_new_tokens=6)
        assert answer.token_ids == alone.token_ids
        assert answer.token_logprobs == pytest.approx(alone.token_logprobs, abs=1e-3)


def test_where_the_answer_looked_is_still_told() -> None:
    read = []
    for model in (MODEL, PLAIN):
        session = model.open(SEQUENCE)
        readout = session.new_readout()
        session.score(QUESTION, CHOICES, readout=readout)
        read.append(readout.per_view)
    assert read[0] == pytest.approx(read[1], abs=2e-3)


def test_the_plan_counts_the_bytes_that_are_held() -> None:
    per_token = key_value_bytes_per_token(MODEL.network, "int8")
    assert per_token == 2 * 2 * 2 * (8 + 4)  # layers, keys and values, heads, codes and scale
    memory = MODEL.open(SEQUENCE).memory
    tokens = len(memory._prefix_ids)
    assert memory._prefix.key_value_bytes() == tokens * per_token
    for layer in memory._prefix._attention():
        assert {part.shape[2] for part in layer._tail} == {tokens}
    request = Request(0, tokens, 0, kv_cache_dtype="int8")
    assert plan(MODEL.network, request, device="cpu").key_values == tokens * per_token
    with pytest.raises(MemoryBudgetError):
        MODEL.open(SEQUENCE, memory_limit_bytes=tokens * per_token - 1)
    MODEL.open(SEQUENCE, memory_limit_bytes=tokens * per_token)


def test_the_released_models_take_little_over_8_kib_a_token_and_show_more_images() -> None:
    network = network_of("53b", "int8")
    assert key_value_bytes_per_token(network, "int8") == 8192 + 256
    request = Request(tokens_per_view=144)
    halved = dataclasses.replace(request, kv_cache_dtype="int8")
    exact, found = (largest_views(network, each, 80e9) for each in (request, halved))
    print(f"\nimages on 80 GB: {exact:,} and {found:,}")
    assert found > 1.3 * exact


@pytest.mark.parametrize("kv_cache_dtype", ["auto", "int8"])
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize(("tokens", "past"), [(1024, 0), (1024, 3000), (256, 6000)])
@torch.no_grad()
def test_attention_takes_what_the_plan_says(tokens, past, precision, kv_cache_dtype) -> None:
    network = small_network(256, 1, precision)
    text, dtype = network.config.text_config, network.get_input_embeddings().weight.dtype
    layer = network.model.language_model.layers[2]
    cache = SessionCache(text, kv_cache_dtype)
    cache.reserve(past + tokens)
    if past:
        before = KeysValues(*torch.randn(2, 1, 1, past, 64).to(dtype))
        cache.layers[2].attend(torch.randn(1, 4, 2, 64).to(dtype), before, 1.0)
    hidden = torch.randn(1, tokens, 256).to(dtype)
    with LiveMemory(network) as alive:
        layer.self_attn(layer.input_layernorm(hidden), past_key_values=cache)
    held = cache.key_value_bytes() if past else 0  # else it grows after the peak
    step = Step(tokens, 0, "cpu", dtype, False, past > 0, kv_cache_dtype)
    planned = _attention(text, step, past + tokens)
    print(f"\nplan {planned:,} alive {alive.peak - held:,}")
    assert planned == pytest.approx(alive.peak - held, rel=0.05)


def test_a_model_is_loaded_so_and_its_answers_say_so() -> None:
    model = load_model("demo", device="cpu", kv_cache_dtype="int8")
    answer = model.answer(None, "What is shown?", max_new_tokens=2)
    assert answer.provenance["kv_cache_dtype"] == "int8"
    plain = PLAIN.open(None).ask("Hello", max_new_tokens=1)
    assert plain.provenance["kv_cache_dtype"] == "auto"
    with pytest.raises(QuantizationError) as caught:
        load_model("demo", kv_cache_dtype="int4")
    assert caught.value.code == "quantization.kv_cache_dtype"


@torch.no_grad()
def logits_through_a_cache(network, ids, pixels, kv_cache_dtype) -> torch.Tensor:
    """Logits (tokens, vocabulary) with a cache that is continued three times."""
    cache = SessionCache(network.config.text_config, kv_cache_dtype)
    embedded = network.get_input_embeddings()(ids)
    if pixels is not None:
        shown = ids == network.config.image_token_id
        embedded[shown] = network.encode_images(pixels).flatten(0, 1)
    bounds = [0, *(ids.shape[1] * third // 3 for third in (1, 2)), ids.shape[1] - 4, ids.shape[1]]
    found = [
        network.model.language_model(
            inputs_embeds=embedded[:, start:end], past_key_values=cache, use_cache=True
        ).last_hidden_state
        for start, end in pairwise(bounds)
    ]
    return network.lm_head(torch.cat(found, 1))[0]


def compared(network, ids, pixels) -> tuple[float, float, int, int]:
    """Largest and relative difference of logits, greedy tokens that agree, and positions."""
    exact, found = (logits_through_a_cache(network, ids, pixels, k) for k in ("auto", "int8"))
    same = int((exact.argmax(-1) == found.argmax(-1)).sum())
    off = exact - found
    return float(off.abs().max()), float(off.norm() / exact.norm()), same, len(exact)


# A token whose router stands between two experts may take the other: one large difference.
@pytest.mark.parametrize(("experts", "most"), [(1, 0.05), (4, 1.0)])
def test_logits_stay_close_on_own_networks(tmp_path, experts, most) -> None:
    write_released(tmp_path / "model", experts=experts)
    network = load_checkpoint(tmp_path / "model", dtype="float32")
    ids = torch.randint(5, 1500, (1, 300), generator=torch.Generator().manual_seed(1))
    largest, relative, same, positions = compared(network, ids, None)
    print(
        f"\nlargest difference {largest:.4f}, relative {relative:.4f}, {same} of {positions} equal"
    )
    assert 0 < largest < most
    assert relative < 0.02
    assert same / positions >= 0.98


@pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="../shared/golden is not present; see the test above"
)
def test_logits_stay_close_on_both_golden_networks() -> None:
    same = positions = 0
    for name in ("reference_dense", "reference_moe"):
        golden, off, apart = Golden(name), 0.0, 0.0
        for case in (0, 2, 4):  # 2,280 positions, which take long enough
            forced = torch.tensor([golden.cases[case]["greedy"]])
            ids = torch.cat([golden.ids(case), forced], 1)
            largest, relative, equal, count = compared(golden.network, ids, golden.pictures(case))
            same, positions = same + equal, positions + count
            off, apart = max(off, largest), max(apart, relative)
        print(f"\n{name}: largest difference of a logit {off:.4f}, relative at most {apart:.4f}")
        assert 0 < off < 1
        assert apart < 0.02
    print(f"{same} of {positions} greedy tokens equal ({same / positions:.4f})")
    assert same / positions >= 0.95
