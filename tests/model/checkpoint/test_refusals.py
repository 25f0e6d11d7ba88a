"""Checkpoints that are not whole, or not what they say, are refused with names and counts."""

import json
from pathlib import Path

import pytest
import tiny_released
import torch
from checkpoint_folders import (
    Weights,
    reconfigure,
    rewrite,
    shard,
)

from longllava_domains.errors import CheckpointError, PolicyError
from longllava_domains.model import load_checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mamba.D",
        "model.layers.0.mamba.B_layernorm.weight",
        "model.layers.2.pre_moe_layernorm.weight",
        "model.layers.2.moe.experts.0.up_proj.weight",
        "model.layers.3.moe.experts.2.gate_proj.weight",
        "model.layers.1.moe.router.weight",
        "model.mm_projector.2.bias",
        "lm_head.weight",
        tiny_released.TOWER_PREFIX + "post_layernorm.bias",
    ],
)
def test_a_missing_tensor_is_named_as_the_checkpoint_spells_it(released: Path, name: str) -> None:
    rewrite(released, lambda weights: weights.pop(name))
    with pytest.raises(CheckpointError, match="1 tensor is missing") as caught:
        load_checkpoint(released)
    assert f"({name})" in caught.value.message
    assert caught.value.code == "checkpoint.missing"


def test_many_missing_tensors_are_counted(released: Path) -> None:
    def drop(weights: Weights) -> None:
        for name in [name for name in weights if ".moe.experts." in name]:
            del weights[name]

    rewrite(released, drop)
    with pytest.raises(CheckpointError, match=r"30 tensors are missing .* and 25 more"):
        load_checkpoint(released)


def test_a_left_over_tensor_is_an_error_unless_it_is_excused(released: Path) -> None:
    rewrite(released, lambda weights: weights.update({"model.image_newline": torch.zeros(24)}))
    with pytest.raises(CheckpointError, match=r"1 tensor is left over \(model.image_newline\)"):
        load_checkpoint(released)
    with pytest.raises(CheckpointError):
        load_checkpoint(released, allow_unexpected="^image_newline")
    network = load_checkpoint(released, allow_unexpected=r"model\.image_.*")
    assert network.allowed_unexpected == r"model\.image_.*"
    assert load_checkpoint(released, allow_unexpected="newline$").allowed_unexpected == "newline$"


def test_a_pattern_never_excuses_a_missing_tensor(released: Path) -> None:
    rewrite(released, lambda weights: weights.pop("model.layers.0.mamba.D"))
    with pytest.raises(CheckpointError, match="missing"):
        load_checkpoint(released, allow_unexpected=".*")


def test_a_broken_pattern_is_refused(released: Path) -> None:
    with pytest.raises(PolicyError, match="regular expression"):
        load_checkpoint(released, allow_unexpected="(")


def test_experts_that_the_configuration_does_not_know_are_left_over(released: Path) -> None:
    reconfigure(released, num_experts=1, num_experts_per_tok=1)
    with pytest.raises(CheckpointError, match="20 tensors are left over"):
        load_checkpoint(released)


def test_a_wrong_shape_names_both_shapes(released: Path) -> None:
    name = "model.layers.3.moe.experts.2.gate_proj.weight"
    rewrite(released, lambda weights: weights.update({name: torch.zeros(41, 24)}))
    with pytest.raises(CheckpointError, match=r"\[41, 24\] instead of \[40, 24\]") as caught:
        load_checkpoint(released)
    assert name in caught.value.message
    assert caught.value.code == "checkpoint.wrong_shape"


def test_two_tensors_for_one_place_are_refused(released: Path) -> None:
    rewrite(
        released,
        lambda weights: weights.update({"model.layers.0.mamba.b_layernorm.weight": torch.ones(8)}),
    )
    with pytest.raises(CheckpointError, match="given twice"):
        load_checkpoint(released)


def test_a_cut_off_file_is_damaged(released: Path) -> None:
    for file in (released / "model.safetensors", shard(released)[1]):
        data = file.read_bytes() if file.exists() else b""
        if data:
            file.write_bytes(data[: len(data) * 2 // 3])
            with pytest.raises(CheckpointError, match="truncated") as caught:
                load_checkpoint(released)
            assert caught.value.code == "checkpoint.damaged"
            assert str(released) not in str(caught.value)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_missing_shard_is_counted(released: Path, suffix: str) -> None:
    shard(released, suffix)[1].unlink()
    with pytest.raises(CheckpointError, match=r"1 of 3 weight files are missing .* number 2"):
        load_checkpoint(released)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"these are no weights", b"\x80\x02}q\x00."])
def test_a_file_that_holds_no_weights_is_refused(released: Path, name: str, content: bytes) -> None:
    (released / "model.safetensors").unlink()
    (released / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(released)
    assert caught.value.remedy


def test_a_git_lfs_pointer_is_recognised(released: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4910000000\n"
    (released / "model.safetensors").write_bytes(pointer)
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load_checkpoint(released)


class Executes:
    def __reduce__(self) -> tuple:
        return print, ("a pickle was executed",)


def test_a_pickle_with_code_is_refused_unexecuted(released: Path, capsys) -> None:
    (released / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Executes()}, released / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="asks for other objects"):
        load_checkpoint(released)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "bert"}', "{}", "\xff"])
def test_a_configuration_of_something_else_is_refused(released: Path, content: str) -> None:
    (released / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(released)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
        {"resamplePooling": "3d"},
        {"mm_projector_type": "linear"},
        {"mm_patch_merge_type": "spatial_unpad"},
        {"mamba_inner_layernorms": False},
        {"vocab_size": 100},
        {"attn_layer_offset": 9},
        {"torch_dtype": "float7"},
        {"mm_vision_select_layer": "last"},
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused(released: Path, changes: dict) -> None:
    reconfigure(released, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(released)
    assert caught.value.remedy


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {"a": "../../etc/passwd"}}', "no json"])
def test_an_index_that_names_no_shards_is_refused(released: Path, index: str) -> None:
    (released / "model.safetensors").unlink()
    (released / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="index"):
        load_checkpoint(released)


def test_no_folder_and_no_weights_are_errors_of_ours(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_checkpoint(place)
    (tmp_path / "config.json").write_text(json.dumps(tiny_released.config_of(1)))
    with pytest.raises(CheckpointError, match="no weights"):
        load_checkpoint(tmp_path)
