"""Networks in 8 bits: what is covered, how they load and save, what is refused."""

import json
from pathlib import Path

import pytest
import tiny_released
import torch
from golden import GOLDEN, Golden
from torch import nn

from longllava_domains.errors import OutputError, QuantizationError
from longllava_domains.model import load_checkpoint, load_model
from longllava_domains.model.checkpoint import fill as checkpoint_module
from longllava_domains.model.checkpoint.write import save_quantized
from longllava_domains.model.int8.linear import Int8Linear
from longllava_domains.model.int8.quantize import (
    coverage,
    quantize_network,
    require_int8,
    resolve_quantization,
)
from longllava_domains.model.kernels.int8_matmul import quantize_rows


@pytest.fixture(scope="module")
def moe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moe") / "model"
    tiny_released.write_released(folder, experts=4)
    return folder


def picture_inputs(network) -> dict[str, torch.Tensor]:
    config = network.config
    image = [config.image_token_id] * config.tokens_per_image
    ids = torch.tensor([[1, 7, *image, 9, 11, 500, *image, 3, 4, 5]])
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return {"input_ids": ids, "pixel_values": pixels}


def dequantised(network) -> nn.Module:
    """The same network in plain float32 with the values that its 8-bit weights stand for."""
    for name, module in list(network.named_modules()):
        if isinstance(module, Int8Linear):
            plain = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            plain.weight.data = module.weight.float() * module.weight_scale[:, None]
            plain.bias = module.bias
            network.set_submodule(name, plain)
        elif hasattr(module, "gate_up_proj_scale"):
            for leaf in ("gate_up_proj", "down_proj"):
                value = getattr(module, leaf).float() * getattr(module, f"{leaf}_scale")[..., None]
                delattr(module, leaf)
                setattr(module, leaf, nn.Parameter(value))
    network.set_experts_implementation({"text_config": "eager"})
    return network


@torch.no_grad()
@pytest.mark.parametrize("quantization", ["int8", "int8+lm_head+projector"])
def test_a_quantised_network_is_the_network_of_its_rounded_weights(
    moe_folder, quantization
) -> None:
    network = load_checkpoint(moe_folder, dtype="float32", quantization=quantization)
    inputs = picture_inputs(network)
    found = network(**inputs).logits
    expected = dequantised(network)(**inputs).logits
    assert (found - expected).abs().max() < 2e-5


@torch.no_grad()
def test_batches_chunks_and_single_tokens_agree(moe_folder) -> None:
    """The experts see one token or many; the result is that token's own."""
    network = load_checkpoint(moe_folder, dtype="float32", quantization="int8")
    ids = torch.randint(5, 1500, (1, 30))
    whole = network(input_ids=ids).logits
    first = network(input_ids=ids[:, :29], use_cache=True)
    last = network(input_ids=ids[:, 29:], past_key_values=first.past_key_values).logits
    assert (last[0, -1] - whole[0, -1]).abs().max() < 2e-5
    both = network(input_ids=ids.repeat(2, 1)).logits
    assert (both[1] - whole[0]).abs().max() < 2e-5


def test_everything_that_should_be_is_in_8_bits(moe_folder) -> None:
    network = load_checkpoint(moe_folder, quantization="int8")
    found = {each.part: each for each in coverage(network)}
    for part in ("attention", "experts", "dense MLP"):
        assert found[part].kept == 0
        assert found[part].int8 > 0
    mixers = [
        layer.mamba for layer in network.model.language_model.layers if hasattr(layer, "mamba")
    ]
    projections = sum(m.in_proj.weight.numel() + m.out_proj.weight.numel() for m in mixers)
    assert found["mamba"].int8 == projections
    for part in ("vision", "projector", "router", "norms", "embeddings", "lm_head"):
        assert found[part].int8 == 0
    plain = load_checkpoint(moe_folder)
    assert sum(p.numel() for p in plain.parameters()) == sum(
        p.int8 + p.kept for p in found.values()
    )
    assert network.model.language_model.layers[0].mamba.x_proj.weight.dtype == torch.float32


def test_head_and_projector_are_int8_only_where_the_name_says_so(moe_folder) -> None:
    network = load_checkpoint(moe_folder, quantization="int8+projector+lm_head")
    found = {each.part: each for each in coverage(network)}
    assert found["lm_head"].kept == 0
    assert found["projector"].int8 > found["projector"].kept > 0  # the biases stay
    assert network.config.quantization == "int8+lm_head+projector"


def test_a_module_that_slipped_through_is_named(moe_folder) -> None:
    network = load_checkpoint(moe_folder, quantization="int8")
    network.model.language_model.layers[0].mamba.in_proj = nn.Linear(24, 96, bias=False)
    with pytest.raises(QuantizationError, match=r"layers\.0\.mamba\.in_proj") as caught:
        require_int8(network)
    assert caught.value.facts["modules"] == 1


def test_experts_that_would_run_elsewhere_are_named(moe_folder) -> None:
    network = load_checkpoint(moe_folder, quantization="int8")
    network.set_experts_implementation({"text_config": "eager"})
    with pytest.raises(QuantizationError, match=r"feed_forward\.experts"):
        require_int8(network)


def test_quantising_on_the_way_equals_quantising_in_memory(moe_folder) -> None:
    streamed = load_checkpoint(moe_folder, dtype="float32", quantization="int8")
    whole = load_checkpoint(moe_folder, dtype="float32")
    quantize_network(whole, "int8")
    theirs = dict(whole.state_dict())
    assert theirs.keys() == streamed.state_dict().keys()
    for name, ours in streamed.state_dict().items():
        assert torch.equal(ours, theirs[name]), name


def test_weights_are_quantised_one_tensor_at_a_time(moe_folder, monkeypatch) -> None:
    """What bounds the memory of loading: no more than one tensor is whole at any moment."""
    seen: list[int] = []

    def recorded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(weight.numel())
        return quantize_rows(weight)

    monkeypatch.setattr(checkpoint_module, "quantize_rows", recorded)
    network = load_checkpoint(moe_folder, quantization="int8")
    assert max(seen) == 2 * 2 * 24 * 24  # one in_proj; an expert's matrix is 40 x 24
    assert sum(seen) == sum(each.int8 for each in coverage(network))


@torch.no_grad()
def test_a_saved_8_bit_checkpoint_needs_no_other(moe_folder, tmp_path) -> None:
    network = load_checkpoint(moe_folder, dtype="bfloat16", quantization="int8+lm_head")
    save_quantized(network, tmp_path / "q", companions=moe_folder, shard_bytes=60_000)
    assert len(list((tmp_path / "q").glob("model-*.safetensors"))) > 1
    assert (
        json.loads((tmp_path / "q" / "config.json").read_text())["quantization"] == "int8+lm_head"
    )
    again = load_checkpoint(tmp_path / "q")
    assert again.config.quantization == "int8+lm_head"
    assert again.config.dtype == torch.bfloat16
    for name, ours in again.state_dict().items():
        assert torch.equal(ours, network.state_dict()[name]), name
    require_int8(again)
    ids = torch.tensor([[1, 5, 9]])
    assert torch.equal(again(input_ids=ids).logits, network(input_ids=ids).logits)


def test_a_damaged_8_bit_checkpoint_is_refused_by_name(moe_folder, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    from longllava_domains.errors import CheckpointError

    network = load_checkpoint(moe_folder, quantization="int8")
    save_quantized(network, tmp_path / "q")
    tensors = load_file(tmp_path / "q" / "model.safetensors")
    lost = "model.language_model.layers.1.feed_forward.experts.down_proj_scale"
    del tensors[lost]
    save_file(tensors, tmp_path / "q" / "model.safetensors")
    with pytest.raises(CheckpointError, match="down_proj_scale") as caught:
        load_checkpoint(tmp_path / "q")
    assert caught.value.facts["missing"] == 1


@pytest.mark.parametrize("other", ["none", "int8", "int8+projector"])
def test_a_checkpoint_in_8_bits_is_not_loaded_as_another_precision(
    moe_folder, tmp_path, other
) -> None:
    save_quantized(load_checkpoint(moe_folder, quantization="int8+lm_head"), tmp_path / "q")
    with pytest.raises(QuantizationError) as caught:
        load_checkpoint(tmp_path / "q", quantization=other)
    assert caught.value.code == "quantization.stored"


@pytest.mark.parametrize(
    "name", ["int4", "INT8", "int8+", "int8+router", "int8+lm_head+lm_head", ""]
)
def test_an_unknown_precision_is_refused(moe_folder, name: str) -> None:
    with pytest.raises(QuantizationError) as caught:
        load_checkpoint(moe_folder, quantization=name)
    assert caught.value.code == "quantization.unknown"


def test_none_means_as_stored() -> None:
    assert resolve_quantization(None) is None
    assert resolve_quantization("none") is None
    assert resolve_quantization(None, "int8") == "int8"
    assert resolve_quantization("int8+projector+lm_head", "int8+lm_head+projector") is not None


def test_a_head_that_is_the_embedding_stays(tmp_path) -> None:
    tiny_released.write_released(tmp_path / "tied", tie_word_embeddings=True)
    with pytest.raises(QuantizationError) as caught:
        load_checkpoint(
            tmp_path / "tied", quantization="int8+lm_head", allow_unexpected="lm_head.*"
        )
    assert caught.value.code == "quantization.tied"


def test_nothing_is_overwritten(moe_folder, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        save_quantized(load_checkpoint(moe_folder, quantization="int8"), tmp_path)


def test_the_demo_model_answers_in_8_bits_and_says_so() -> None:
    model = load_model("demo", quantization="int8", device="cpu")
    answer = model.answer(None, "What is shown?", max_new_tokens=4)
    assert answer.provenance["quantization"]["precision"] == "int8"
    assert answer.provenance["quantization"]["fraction_int8"]["experts"] == 1


@torch.no_grad()
def agreement(plain, quantised, ids, pixels) -> tuple[int, int, list[float]]:
    """Teacher-forced: equal greedy tokens, positions, and the relative error after each layer."""
    results = [
        network(input_ids=ids, pixel_values=pixels, output_hidden_states=True)
        for network in (plain, quantised)
    ]
    tokens = [result.logits[0].argmax(-1) for result in results]
    errors = [
        float((q - p).norm() / p.norm())
        for p, q in zip(*(result.hidden_states[1:] for result in results), strict=True)
    ]
    return int((tokens[0] == tokens[1]).sum()), len(tokens[0]), errors


def test_greedy_tokens_stay_the_same_on_an_own_network(moe_folder) -> None:
    plain = load_checkpoint(moe_folder, dtype="float32")
    quantised = load_checkpoint(moe_folder, dtype="float32", quantization="int8")
    ids = torch.randint(5, 1500, (1, 200), generator=torch.Generator().manual_seed(1))
    same, positions, errors = agreement(plain, quantised, ids, None)
    print(f"\n{same / positions:.3f} of greedy tokens equal; error by layer {errors}")
    assert same / positions >= 0.9
    assert max(errors) < 0.04


@pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="../shared/golden is not present; see the test above"
)
def test_greedy_tokens_stay_the_same_on_both_golden_networks_together() -> None:
    same = positions = 0
    for name in ("reference_dense", "reference_moe"):
        golden = Golden(name)
        quantised = load_checkpoint(golden.folder, dtype="float32", quantization="int8")
        for case in range(5):
            forced = torch.tensor([golden.cases[case]["greedy"]])
            ids = torch.cat([golden.ids(case), forced], 1)
            equal, count, errors = agreement(golden.network, quantised, ids, golden.pictures(case))
            same, positions = same + equal, positions + count
        print(f"\n{name}: relative error by layer {[round(error, 4) for error in errors]}")
    print(f"{same} of {positions} greedy tokens equal ({same / positions:.4f})")
    assert same / positions >= 0.9  # a bound against faults; benchmarks/int8_agreement.py measures
