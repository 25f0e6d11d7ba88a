"""`from_pretrained`, `save_pretrained` and the Auto classes, for every layout and precision."""

import json
from pathlib import Path

import pytest
import tiny_released
import torch
from checkpoint_folders import last_logits, reconfigure, rewrite
from safetensors.torch import load_file
from tiny_longllava import DEMO
from transformers import AutoConfig, AutoModelForImageTextToText

from longllava_domains.errors import CheckpointError, OutputError, PolicyError
from longllava_domains.model import (
    LongLlavaConfig,
    LongLlavaForConditionalGeneration,
    load_checkpoint,
    load_model,
)
from longllava_domains.model.checkpoint.inspect import inspect_checkpoint


@pytest.fixture(params=[1, 4])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small released checkpoint, dense or with experts, with its tower's configuration."""
    folder = tmp_path / "model"
    tiny_released.write_released(folder, experts=request.param)
    return folder


@pytest.mark.parametrize("reader", [AutoModelForImageTextToText, LongLlavaForConditionalGeneration])
def test_a_released_checkpoint_loads_through_the_auto_classes(folder: Path, reader) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert type(config) is LongLlavaConfig
    network = reader.from_pretrained(folder)
    assert type(network) is LongLlavaForConditionalGeneration
    torch.testing.assert_close(
        last_logits(network), last_logits(load_checkpoint(folder)), rtol=0, atol=0
    )
    assert network.config.pooling == config.pooling == "2d"
    assert network.config.tokens_per_image == config.tokens_per_image == 4


@pytest.mark.parametrize("reader", [AutoModelForImageTextToText, LongLlavaForConditionalGeneration])
@pytest.mark.parametrize("shard", [None, "20KB"])
def test_a_network_in_8_bits_is_saved_and_read_as_it_is(
    folder: Path, tmp_path: Path, reader, shard: str | None
) -> None:
    network = load_checkpoint(folder, quantization="int8")
    expected = last_logits(network)
    sizes = {} if shard is None else {"max_shard_size": shard}
    network.save_pretrained(tmp_path / "saved", **sizes)
    again = reader.from_pretrained(tmp_path / "saved")
    assert again.config.quantization == "int8"
    torch.testing.assert_close(last_logits(again), expected, rtol=0, atol=0)
    torch.testing.assert_close(
        last_logits(load_checkpoint(tmp_path / "saved")), expected, rtol=0, atol=0
    )
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > (1 if shard else 0)


def test_a_plain_network_still_goes_through_transformers(folder: Path, tmp_path: Path) -> None:
    network = load_checkpoint(folder)
    network.save_pretrained(tmp_path / "saved")
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    torch.testing.assert_close(last_logits(again), last_logits(network), rtol=0, atol=1e-6)


def test_options_that_mean_something_are_followed_and_others_refused(folder: Path) -> None:
    read = LongLlavaForConditionalGeneration.from_pretrained
    assert read(folder, dtype="bfloat16").lm_head.weight.dtype == torch.bfloat16
    assert read(folder, device_map={"": "cpu"}).device.type == "cpu"
    assert read(folder, attn_implementation="eager").config._attn_implementation == "eager"
    network, information = read(folder, output_loading_info=True)
    assert isinstance(network, LongLlavaForConditionalGeneration)
    assert not information["missing_keys"]
    with pytest.raises(PolicyError, match="quantization_config"):
        read(folder, quantization_config={"bits": 4})
    with pytest.raises(PolicyError, match="device_map"):
        read(folder, device_map={"model": "cpu", "lm_head": "cpu"})
    with pytest.raises(PolicyError, match="no size"):
        load_checkpoint(folder, quantization="int8").save_pretrained(
            folder / "x", max_shard_size="huge"
        )


def test_weights_in_8_bits_are_not_written_over_others(folder: Path, tmp_path: Path) -> None:
    network = load_checkpoint(folder, quantization="int8")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "tokenizer.json").write_text("{}")
    network.save_pretrained(tmp_path / "saved")
    with pytest.raises(OutputError):
        network.save_pretrained(tmp_path / "saved")


def test_a_model_of_another_family_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "model.safetensors").write_bytes((DEMO / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="not that of a LongLLaVA"):
        LongLlavaForConditionalGeneration.from_pretrained(tmp_path)


A_WEIGHT = "model.layers.1.mamba.out_proj.weight"


@pytest.mark.parametrize("quantization", ["none", "int8"])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", [A_WEIGHT, "model.layers.0.mamba.D", "model.embed_tokens.weight"])
def test_weights_that_are_no_numbers_end_the_load(
    released: Path, quantization: str, number: float, name: str
) -> None:
    rewrite(released, lambda weights: weights[name].view(-1)[3:4].fill_(number))
    with pytest.raises(CheckpointError, match="NaN or infinity") as refusal:
        load_checkpoint(released, quantization=quantization)
    assert refusal.value.code == "checkpoint.not_finite"


def test_weights_too_large_for_float16_say_so(released: Path) -> None:
    rewrite(released, lambda weights: weights[A_WEIGHT].view(-1)[3:4].fill_(1e6))
    load_checkpoint(released, dtype="bfloat16")
    with pytest.raises(CheckpointError, match="too large for float16") as refusal:
        load_checkpoint(released, dtype="float16")
    assert "bfloat16" in refusal.value.remedy


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn])
@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_codes_of_another_quantiser_are_not_taken_for_weights(
    released: Path, dtype: torch.dtype, quantization: str
) -> None:
    rewrite(released, lambda weights: weights.update({A_WEIGHT: weights[A_WEIGHT].to(dtype)}))
    with pytest.raises(CheckpointError, match=A_WEIGHT) as refusal:
        load_checkpoint(released, quantization=quantization)
    assert refusal.value.code == "checkpoint.wrong_dtype"
    assert not inspect_checkpoint(released).complete


def test_plain_weights_in_a_folder_that_says_8_bits_are_refused(
    released: Path, tmp_path: Path
) -> None:
    load_checkpoint(released, quantization="int8").save_pretrained(tmp_path / "saved")
    name = "model.language_model.layers.0.mamba.in_proj.weight"
    assert load_file(tmp_path / "saved" / "model.safetensors")[name].dtype == torch.int8
    rewrite(tmp_path / "saved", lambda weights: weights.update({name: weights[name].float()}))
    with pytest.raises(CheckpointError, match="precision"):
        load_checkpoint(tmp_path / "saved")
    reconfigure(tmp_path / "saved", quantization=None)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "saved")


class RunsCode:
    """What an attacker's weight file holds."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_runs_code_is_named_as_what_it_is(
    released: Path, tmp_path: Path, monkeypatch, legacy: bool, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (released / "model.safetensors").unlink()
    torch.save(
        {"lm_head.weight": RunsCode()},
        released / "pytorch_model.bin",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(CheckpointError, match="asks for other objects than tensors") as refusal:
        load_model(released, tokenizer=DEMO)
    assert refusal.value.code == "checkpoint.pickle"
    assert not (tmp_path / "ran").exists()
