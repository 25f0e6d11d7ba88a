"""`generate` and the Auto classes with inputs that would go wrong without a word."""

import copy
import inspect
import tempfile
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from peft import LoraConfig, get_peft_model
from tiny_longllava import tiny_model, views
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import DynamicCache

from longllava_domains.errors import (
    CheckpointError,
    ModelError,
    PolicyError,
    PromptError,
    QuantizationError,
)
from longllava_domains.model import LongLlavaConfig, LongLlavaForConditionalGeneration
from longllava_domains.model.network.generation import FiniteLogits

MODEL = tiny_model()
NETWORK = MODEL.network
IMAGE = [NETWORK.config.image_token_id] * 4
PIXELS = torch.sin(torch.arange(3 * 3 * 28 * 28) * 0.11).reshape(3, 3, 28, 28)
FIRST = [1, 5, 6, *IMAGE, 9, 8]
SECOND = [7, 3, *IMAGE, 4, *IMAGE, 11, 12]
GREEDY = {"max_new_tokens": 5, "do_sample": False}


def ids(*parts: list[int]) -> Tensor:
    return torch.tensor([[token for part in parts for token in part]])


@pytest.mark.parametrize("given", ["new images", "all images"])
@pytest.mark.parametrize("chunk", [None, 3])
def test_a_later_turn_may_show_new_images_on_a_kept_cache(given: str, chunk: int | None) -> None:
    cache = DynamicCache(config=NETWORK.config.text_config)
    with torch.no_grad():
        NETWORK(ids(FIRST), pixel_values=PIXELS[:1], past_key_values=cache, use_cache=True)
    shown = PIXELS[1:] if given == "new images" else PIXELS
    prompt = ids(FIRST, SECOND)
    expected = NETWORK.generate(prompt, pixel_values=PIXELS, **GREEDY)
    found = NETWORK.generate(
        prompt, pixel_values=shown, past_key_values=cache, prefill_chunk_size=chunk, **GREEDY
    )
    assert found.tolist() == expected.tolist()


def test_images_of_another_number_than_the_new_placeholders_are_refused() -> None:
    cache = DynamicCache(config=NETWORK.config.text_config)
    with torch.no_grad():
        NETWORK(ids(FIRST), pixel_values=PIXELS[:1], past_key_values=cache, use_cache=True)
    with pytest.raises(PromptError):
        NETWORK.generate(
            ids(FIRST, SECOND), pixel_values=PIXELS[:1], past_key_values=cache, **GREEDY
        )


def test_a_batch_padded_on_the_right_is_refused() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    with pytest.raises(PromptError, match="padded on the right"):
        NETWORK.generate(torch.tensor([[1, 5, 6], [1, 5, 0]]), attention_mask=mask, **GREEDY)


@pytest.mark.parametrize("how", [{"prompt_lookup_num_tokens": 2}, {"assistant_model": NETWORK}])
def test_decoding_that_would_rewind_the_state_is_refused_by_transformers(how: dict) -> None:
    with pytest.raises(ValueError, match="stateful"):
        NETWORK.generate(ids([1, 5, 6]), **how, **GREEDY)


@pytest.mark.parametrize("argument", ["pixel_value", "segment_idss", "vision_feature_layers"])
def test_a_misspelt_argument_of_the_network_is_refused(argument: str) -> None:
    with pytest.raises(PolicyError, match=argument):
        NETWORK(ids([1, 5, 6]), **{argument: PIXELS})


@pytest.mark.parametrize(
    "argument", [{"vision_feature_layer": -1}, {"image_sizes": torch.ones(1, 2)}]
)
def test_another_feature_layer_is_not_ignored(argument: dict) -> None:
    with pytest.raises(PolicyError, match="fixed by the configuration"):
        NETWORK(ids([1, 5, 6]), **argument)
    NETWORK(ids([1, 5, 6]), vision_feature_layer=-2)


def test_the_first_label_of_packed_samples_with_images_is_masked() -> None:
    prompt = ids(FIRST, SECOND)
    labels = prompt.clone()
    lengths = torch.tensor([0, len(FIRST), prompt.shape[1]])
    with torch.no_grad():
        packed = NETWORK(prompt, pixel_values=PIXELS, labels=labels, cu_seqlens=lengths).loss
        total = sum(
            float(NETWORK(ids(part), pixel_values=shown, labels=ids(part)).loss) * (len(part) - 1)
            for part, shown in ((FIRST, PIXELS[:1]), (SECOND, PIXELS[1:]))
        )
        adapted = get_peft_model(copy.deepcopy(NETWORK), LoraConfig(r=2, target_modules=["o_proj"]))
        under_peft = adapted(
            input_ids=prompt, pixel_values=PIXELS, labels=labels, cu_seqlens=lengths
        ).loss
    assert float(packed) == pytest.approx(total / (prompt.shape[1] - 2), rel=1e-4)
    assert float(under_peft) == pytest.approx(float(packed), rel=1e-5)
    assert torch.equal(labels, prompt)  # the caller's own are left alone
    assert {"labels", "logits_to_keep"} <= set(inspect.signature(NETWORK.forward).parameters)


@pytest.fixture
def sick() -> LongLlavaForConditionalGeneration:
    network = copy.deepcopy(NETWORK)
    with torch.no_grad():
        network.model.language_model.layers[0].mamba.D[3] = torch.nan
    return network


def test_numbers_that_are_none_end_a_generation_with_the_remedy(sick) -> None:
    with pytest.raises(ModelError, match="bfloat16") as refusal:
        sick.generate(ids([1, 5, 6]), **GREEDY)
    assert refusal.value.code == "model.not_finite"


@pytest.mark.parametrize("offload", ["cpu", "disk"])
def test_a_network_that_waits_elsewhere_answers_the_same(offload: str) -> None:
    model = tiny_model()
    expected = model.answer(views(3), "What is shown?", max_new_tokens=4).token_ids
    prompt = ids(FIRST)
    with torch.no_grad():
        logits = model.network(prompt, pixel_values=PIXELS[:1]).logits
        here = torch.device("cpu")
        if offload == "cpu":
            cpu_offload(model.network, execution_device=here)
        else:
            disk_offload(model.network, tempfile.mkdtemp(), execution_device=here)
        assert model.network.get_input_embeddings().weight.device.type == "meta"
        found = model.network(prompt, pixel_values=PIXELS[:1]).logits
    torch.testing.assert_close(found, logits, rtol=0, atol=0)
    assert model.answer(views(3), "What is shown?", max_new_tokens=4).token_ids == expected


def test_experts_run_in_float64() -> None:
    network = copy.deepcopy(NETWORK).double()
    with torch.no_grad():
        found = network(ids(FIRST), pixel_values=PIXELS[:1]).logits
        expected = NETWORK(ids(FIRST), pixel_values=PIXELS[:1]).logits
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=5e-5)


def test_experts_of_which_too_many_are_chosen_are_refused() -> None:
    text = NETWORK.config.text_config.to_dict() | {"num_experts_per_tok": 5}
    with pytest.raises(CheckpointError, match="5 of 4 experts"):
        LongLlavaConfig(text_config=text, vision_config=NETWORK.config.vision_config)


def test_a_network_in_8_bits_is_not_made_from_nothing() -> None:
    config = copy.deepcopy(NETWORK.config)
    config.quantization = "int8"
    with pytest.raises(QuantizationError, match="from_pretrained"):
        LongLlavaForConditionalGeneration(config)


@pytest.mark.parametrize("tower", [False, True])
def test_text_alone_leaves_no_parameter_of_a_distributed_run_without_a_gradient(
    tmp_path: Path, tower: bool
) -> None:
    network = copy.deepcopy(NETWORK).train()
    network.model.vision_tower.requires_grad_(tower)
    unused = network.model.vision_tower  # its last layer is behind the one whose features are read
    unused.encoder.layers[-1].requires_grad_(False)
    unused.post_layernorm.requires_grad_(False)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        wrapped = DistributedDataParallel(network)
        for _ in range(2):  # the second forward fails where the first left a gradient out
            wrapped(input_ids=ids([1, 5, 6, 7]), use_cache=False).logits.sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    missing = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    assert not network.model.multi_modal_projector.linear_1.weight.grad.any()


def test_tokens_that_another_processor_forbade_are_no_fault_of_the_network() -> None:
    check, ids = FiniteLogits(), torch.zeros(1, 1, dtype=torch.long)
    scores = torch.tensor([[1.0, -torch.inf, 2.0]])
    assert check(ids, scores) is scores
    for bad in ([torch.nan, 1.0], [torch.inf, 1.0], [-torch.inf, -torch.inf]):
        with pytest.raises(ModelError):
            check(ids, torch.tensor([bad]))
