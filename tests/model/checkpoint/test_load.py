"""Checkpoints load exactly, in every layout and file format, dtype and place."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import slow_reference
import tiny_released
import torch
from checkpoint_folders import (
    IDS,
    PIXELS,
    Weights,
    last_logits,
    reconfigure,
    rewrite,
    same_weights,
    shard,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, JambaConfig, LlavaConfig
from transformers import LlavaForConditionalGeneration as StockLlava

from longllava_domains.errors import CheckpointError, LongLlavaError, PolicyError
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint
from longllava_domains.model.checkpoint.files import WeightFiles


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_give_the_same_weights_as_one_file(released: Path, suffix: str) -> None:
    whole = load_checkpoint(released)
    assert len(shard(released, suffix)) == 3
    assert same_weights(whole, load_checkpoint(released))


@pytest.mark.parametrize("legacy", [False, True])
def test_one_bin_file_gives_the_same_weights(released: Path, legacy: bool) -> None:
    whole = load_checkpoint(released)
    weights = load_file(released / "model.safetensors")
    (released / "model.safetensors").unlink()
    torch.save(weights, released / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    assert same_weights(whole, load_checkpoint(released))


def test_what_we_save_loads_bit_for_bit_and_with_transformers_alone(
    released: Path, tmp_path: Path
) -> None:
    network = load_checkpoint(released, dtype="bfloat16")
    network.save_pretrained(tmp_path / "saved")
    again = load_checkpoint(tmp_path / "saved")
    assert same_weights(network, again)
    assert again.config.dtype == torch.bfloat16
    assert again.config.to_diff_dict() == network.config.to_diff_dict()
    by_auto = LongLlavaForConditionalGeneration.from_pretrained(tmp_path / "saved")
    assert same_weights(network, by_auto)


def test_a_layout_that_transformers_would_fill_with_random_weights_is_read_strictly(
    released: Path,
) -> None:
    network = LongLlavaForConditionalGeneration.from_pretrained(released)
    assert same_weights(network, load_checkpoint(released))
    rewrite(released, lambda weights: weights.popitem())
    with pytest.raises(CheckpointError, match="1 tensor is missing"):
        LongLlavaForConditionalGeneration.from_pretrained(released)


def test_the_auto_classes_know_the_network(released: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    load_checkpoint(released).save_pretrained(tmp_path / "saved")
    assert AutoConfig.from_pretrained(tmp_path / "saved").tokens_per_image == 4
    network = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    assert isinstance(network, LongLlavaForConditionalGeneration)


def test_a_stock_llava_around_jamba_loads_and_agrees_with_itself(tmp_path: Path) -> None:
    text = {key: value for key, value in tiny_released.config_of(4).items() if key[:3] != "mm_"}
    text = {key: text[key] for key in text if key not in ("architectures", "model_type")}
    config = LlavaConfig(
        text_config=JambaConfig(**text),
        vision_config=CLIPVisionConfig(**tiny_released.TOWER),
        image_token_index=1539,
        image_seq_length=16,
    )
    torch.manual_seed(0)
    stock = StockLlava(config).eval()
    stock.save_pretrained(tmp_path / "stock")
    network = load_checkpoint(tmp_path / "stock")
    assert network.config.pooling == "none"
    ids = torch.tensor([[1, 5, *[1539] * 16, 7]])
    with torch.no_grad():
        expected = stock(input_ids=ids, pixel_values=PIXELS).logits
        found = network(input_ids=ids, pixel_values=PIXELS).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_native_names_under_a_released_configuration_load(released: Path) -> None:
    whole = load_checkpoint(released)

    def rename(weights: Weights) -> None:
        for name in list(weights):
            native = name.replace("pre_moe_layernorm", "pre_ff_layernorm")
            native = native.replace("B_layernorm", "b_layernorm").replace(
                "C_layernorm", "c_layernorm"
            )
            dense = any(f"layers.{layer}.moe.experts.0." in name for layer in (0, 2))
            native = native.replace("moe.experts.0", "feed_forward") if dense else native
            native = native.replace(".moe.", ".feed_forward.")
            weights[native] = weights.pop(name)

    rewrite(released, rename)
    assert same_weights(whole, load_checkpoint(released))


def test_fused_experts_load(released: Path) -> None:
    whole = load_checkpoint(released)

    def fuse(weights: Weights) -> None:
        for layer in (1, 3):
            parts = {
                part: torch.stack(
                    [
                        weights.pop(f"model.layers.{layer}.moe.experts.{e}.{part}_proj.weight")
                        for e in range(4)
                    ]
                )
                for part in ("gate", "up", "down")
            }
            stem = f"model.layers.{layer}.feed_forward.experts."
            weights[stem + "gate_up_proj"] = torch.cat([parts["gate"], parts["up"]], 1)
            weights[stem + "down_proj"] = parts["down"]

    rewrite(released, fuse)
    assert same_weights(whole, load_checkpoint(released))


@pytest.mark.parametrize("value", ["absent", None])
def test_a_missing_pooling_means_two_by_two(released: Path, value: object, caplog) -> None:
    expected = last_logits(load_checkpoint(released))
    reconfigure(released, resamplePooling=value)
    network = load_checkpoint(released)
    assert network.config.pooling == "2d"
    assert torch.equal(last_logits(network), expected)
    assert "pooling" in caplog.text


def test_the_trained_length_is_a_fact_and_not_a_limit(released: Path) -> None:
    reconfigure(released, tokenizer_model_max_length=6)
    network = load_checkpoint(released)
    assert network.config.trained_length == 6
    ids = torch.tensor([list(range(3, 23))])
    with torch.no_grad():
        assert network(input_ids=ids).logits.shape == (1, 20, 1600)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("auto", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("bf16", torch.bfloat16),
        ("torch.float16", torch.float16),
        (torch.float64, torch.float64),
    ],
)
def test_dtypes_are_named_or_given(released: Path, dtype: object, expected: torch.dtype) -> None:
    network = load_checkpoint(released, dtype=dtype)
    assert {weight.dtype for weight in network.parameters()} == {expected}
    assert network.config.dtype == expected


@pytest.mark.parametrize("dtype", ["int8", "float", torch.int64, None])
def test_other_dtypes_are_refused(released: Path, dtype: object) -> None:
    with pytest.raises(PolicyError, match="dtype"):
        load_checkpoint(released, dtype=dtype)


def test_auto_follows_the_tensors_where_the_configuration_is_silent(released: Path) -> None:
    reconfigure(released, torch_dtype="absent")
    weights = load_file(released / "model.safetensors")
    save_file({n: t.bfloat16() for n, t in weights.items()}, released / "model.safetensors")
    assert load_checkpoint(released).config.dtype == torch.bfloat16


@pytest.mark.parametrize("device", ["cuda:7", "quantum"])
def test_a_device_that_is_not_there_is_refused(released: Path, device: str) -> None:
    with pytest.raises(LongLlavaError, match="cannot be used"):
        load_checkpoint(released, device=device)


def test_the_network_does_not_hold_on_to_the_file(released: Path) -> None:
    network = load_checkpoint(released)
    before = last_logits(network)
    file = released / "model.safetensors"
    file.write_bytes(b"\0" * file.stat().st_size)
    assert torch.equal(last_logits(network), before)


def test_no_tensor_outlives_its_shard(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(released)
    alive: dict[int, list[weakref.ref]] = {}
    read = WeightFiles.tensors

    def watched(files: WeightFiles, position: int) -> Iterator[tuple[str, torch.Tensor]]:
        # The loop may still hold the last tensor it was given, of the shard before.
        assert sum(ref() is not None for refs in alive.values() for ref in refs) <= 1
        alive[position] = []
        for name, tensor in read(files, position):
            alive[position].append(weakref.ref(tensor))
            yield name, tensor

    monkeypatch.setattr(WeightFiles, "tensors", watched)
    load_checkpoint(released)
    assert [len(alive[position]) > 10 for position in range(3)] == [True] * 3


def test_the_slow_reference_agrees_after_the_round_trip(released: Path, tmp_path: Path) -> None:
    weights = load_file(released / "model.safetensors")
    load_checkpoint(released).save_pretrained(tmp_path / "saved")
    slow = slow_reference.logits(
        weights, tiny_released.config_of(4), tiny_released.TOWER, IDS, PIXELS
    )
    found = last_logits(load_checkpoint(tmp_path / "saved"))
    assert (found - slow[-1]).abs().max() < 1e-4
