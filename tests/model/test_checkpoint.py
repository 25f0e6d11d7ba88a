"""Checkpoints load exactly or not at all, in every layout and file format."""

import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slow_reference
import tiny_released
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, JambaConfig, LlavaConfig
from transformers import LlavaForConditionalGeneration as StockLlava

from longllava_domains.errors import CheckpointError, LongLlavaError, PolicyError
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint
from longllava_domains.model.checkpoint_files import WeightFiles

Weights = dict[str, torch.Tensor]
IDS = [1, 5, -200, 7, 8]
PIXELS = torch.cos(torch.arange(3 * 32 * 32, dtype=torch.float32) * 0.21).reshape(1, 3, 32, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_released.write_released(tmp_path / "model", experts=4)
    return tmp_path / "model"


def rewrite(folder: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: object) -> None:
    entries = json.loads((folder / "config.json").read_text())
    entries |= changes
    kept = {key: value for key, value in entries.items() if value != "absent"}
    (folder / "config.json").write_text(json.dumps(kept))


def shard(folder: Path, suffix: str = "safetensors", count: int = 3) -> list[Path]:
    """Split the single file, so that the experts of one layer lie in several shards."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    weight_map, files = {}, []
    for part in range(count):
        name = f"{stem}-{part + 1:05d}-of-{count:05d}.{suffix}"
        held = {key: weights[key] for key in sorted(weights)[part::count]}
        if suffix == "bin":
            torch.save(held, folder / name)
        else:
            save_file(held, folder / name)
        weight_map |= dict.fromkeys(held, name)
        files.append(folder / name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return files


@torch.no_grad()
def last_logits(network: LongLlavaForConditionalGeneration) -> torch.Tensor:
    image = [network.config.image_token_id] * network.config.tokens_per_image
    ids = [token for entry in IDS for token in (image if entry == -200 else [entry])]
    return network(input_ids=torch.tensor([ids]), pixel_values=PIXELS).logits[0, -1]


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = dict(other.named_parameters())
    return all(
        torch.equal(weight, theirs.pop(name)) for name, weight in one.named_parameters()
    ) and (not theirs)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_give_the_same_weights_as_one_file(folder: Path, suffix: str) -> None:
    whole = load_checkpoint(folder)
    assert len(shard(folder, suffix)) == 3
    assert same_weights(whole, load_checkpoint(folder))


@pytest.mark.parametrize("legacy", [False, True])
def test_one_bin_file_gives_the_same_weights(folder: Path, legacy: bool) -> None:
    whole = load_checkpoint(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    assert same_weights(whole, load_checkpoint(folder))


def test_what_we_save_loads_bit_for_bit_and_with_transformers_alone(
    folder: Path, tmp_path: Path
) -> None:
    network = load_checkpoint(folder, dtype="bfloat16")
    network.save_pretrained(tmp_path / "saved")
    again = load_checkpoint(tmp_path / "saved")
    assert same_weights(network, again)
    assert again.config.dtype == torch.bfloat16
    assert again.config.to_diff_dict() == network.config.to_diff_dict()
    by_auto = LongLlavaForConditionalGeneration.from_pretrained(tmp_path / "saved")
    assert same_weights(network, by_auto)


def test_from_pretrained_refuses_a_layout_that_it_would_fill_with_random_weights(
    folder: Path,
) -> None:
    with pytest.raises(CheckpointError, match="load_checkpoint"):
        LongLlavaForConditionalGeneration.from_pretrained(folder)


def test_the_auto_classes_know_the_network(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    load_checkpoint(folder).save_pretrained(tmp_path / "saved")
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


def test_native_names_under_a_released_configuration_load(folder: Path) -> None:
    whole = load_checkpoint(folder)

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

    rewrite(folder, rename)
    assert same_weights(whole, load_checkpoint(folder))


def test_fused_experts_load(folder: Path) -> None:
    whole = load_checkpoint(folder)

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

    rewrite(folder, fuse)
    assert same_weights(whole, load_checkpoint(folder))


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
def test_a_missing_tensor_is_named_as_the_checkpoint_spells_it(folder: Path, name: str) -> None:
    rewrite(folder, lambda weights: weights.pop(name))
    with pytest.raises(CheckpointError, match="1 tensor is missing") as caught:
        load_checkpoint(folder)
    assert f"({name})" in caught.value.message
    assert caught.value.code == "checkpoint.missing"


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    def drop(weights: Weights) -> None:
        for name in [name for name in weights if ".moe.experts." in name]:
            del weights[name]

    rewrite(folder, drop)
    with pytest.raises(CheckpointError, match=r"30 tensors are missing .* and 25 more"):
        load_checkpoint(folder)


def test_a_left_over_tensor_is_an_error_unless_it_is_excused(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({"model.image_newline": torch.zeros(24)}))
    with pytest.raises(CheckpointError, match=r"1 tensor is left over \(model.image_newline\)"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError):
        load_checkpoint(folder, allow_unexpected="^image_newline")
    network = load_checkpoint(folder, allow_unexpected=r"model\.image_.*")
    assert network.allowed_unexpected == r"model\.image_.*"
    assert load_checkpoint(folder, allow_unexpected="newline$").allowed_unexpected == "newline$"


def test_a_pattern_never_excuses_a_missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop("model.layers.0.mamba.D"))
    with pytest.raises(CheckpointError, match="missing"):
        load_checkpoint(folder, allow_unexpected=".*")


def test_a_broken_pattern_is_refused(folder: Path) -> None:
    with pytest.raises(PolicyError, match="regular expression"):
        load_checkpoint(folder, allow_unexpected="(")


def test_experts_that_the_configuration_does_not_know_are_left_over(folder: Path) -> None:
    reconfigure(folder, num_experts=1, num_experts_per_tok=1)
    with pytest.raises(CheckpointError, match="20 tensors are left over"):
        load_checkpoint(folder)


def test_a_wrong_shape_names_both_shapes(folder: Path) -> None:
    name = "model.layers.3.moe.experts.2.gate_proj.weight"
    rewrite(folder, lambda weights: weights.update({name: torch.zeros(41, 24)}))
    with pytest.raises(CheckpointError, match=r"\[41, 24\] instead of \[40, 24\]") as caught:
        load_checkpoint(folder)
    assert name in caught.value.message
    assert caught.value.code == "checkpoint.wrong_shape"


def test_two_tensors_for_one_place_are_refused(folder: Path) -> None:
    rewrite(
        folder,
        lambda weights: weights.update({"model.layers.0.mamba.b_layernorm.weight": torch.ones(8)}),
    )
    with pytest.raises(CheckpointError, match="given twice"):
        load_checkpoint(folder)


def test_a_cut_off_file_is_damaged(folder: Path) -> None:
    for file in (folder / "model.safetensors", shard(folder)[1]):
        data = file.read_bytes() if file.exists() else b""
        if data:
            file.write_bytes(data[: len(data) * 2 // 3])
            with pytest.raises(CheckpointError, match="truncated") as caught:
                load_checkpoint(folder)
            assert caught.value.code == "checkpoint.damaged"
            assert str(folder) not in str(caught.value)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_missing_shard_is_counted(folder: Path, suffix: str) -> None:
    shard(folder, suffix)[1].unlink()
    with pytest.raises(CheckpointError, match=r"1 of 3 weight files are missing .* number 2"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"these are no weights", b"\x80\x02}q\x00."])
def test_a_file_that_holds_no_weights_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert caught.value.remedy


def test_a_git_lfs_pointer_is_recognised(folder: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4910000000\n"
    (folder / "model.safetensors").write_bytes(pointer)
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load_checkpoint(folder)


class Executes:
    def __reduce__(self) -> tuple:
        return print, ("a pickle was executed",)


def test_a_pickle_with_code_is_refused_unexecuted(folder: Path, capsys) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Executes()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a weight file"):
        load_checkpoint(folder)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model_type": "bert"}', "{}", "\xff"])
def test_a_configuration_of_something_else_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
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
def test_a_configuration_that_cannot_be_followed_is_refused(folder: Path, changes: dict) -> None:
    reconfigure(folder, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert caught.value.remedy


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {"a": "../../etc/passwd"}}', "no json"])
def test_an_index_that_names_no_shards_is_refused(folder: Path, index: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="index"):
        load_checkpoint(folder)


def test_no_folder_and_no_weights_are_errors_of_ours(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_checkpoint(place)
    (tmp_path / "config.json").write_text(json.dumps(tiny_released.config_of(1)))
    with pytest.raises(CheckpointError, match="no weights"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("value", ["absent", None])
def test_a_missing_pooling_means_two_by_two(folder: Path, value: object, caplog) -> None:
    expected = last_logits(load_checkpoint(folder))
    reconfigure(folder, resamplePooling=value)
    network = load_checkpoint(folder)
    assert network.config.pooling == "2d"
    assert torch.equal(last_logits(network), expected)
    assert "pooling" in caplog.text


def test_the_trained_length_is_a_fact_and_not_a_limit(folder: Path) -> None:
    reconfigure(folder, tokenizer_model_max_length=6)
    network = load_checkpoint(folder)
    assert network.config.trained_length == 6
    ids = torch.tensor([list(range(3, 23))])
    with torch.no_grad():
        assert network(input_ids=ids).logits.shape == (1, 20, 1600)


def tower_weights(folder: Path) -> Weights:
    """Move the tower out of the checkpoint; return it under CLIP's own names."""
    taken: Weights = {}

    def take(weights: Weights) -> None:
        for name in [name for name in weights if name.startswith(tiny_released.TOWER_PREFIX)]:
            taken[name.removeprefix(tiny_released.TOWER_PREFIX)] = weights.pop(name)

    rewrite(folder, take)
    return taken


def test_an_absent_tower_is_loaded_from_the_folder_that_the_checkpoint_names(folder: Path) -> None:
    whole = load_checkpoint(folder)
    taken = tower_weights(folder)
    reconfigure(folder, mm_vision_tower="clip/large")
    shutil.move(folder / "vision_tower", folder / "clip" / "large")
    clip = {f"vision_model.{name}": tensor for name, tensor in taken.items()}
    clip |= {"vision_model.embeddings.position_ids": torch.arange(17)}
    clip |= {"text_model.final_layer_norm.bias": torch.ones(3), "logit_scale": torch.ones(())}
    save_file(clip, folder / "clip" / "large" / "model.safetensors")
    assert same_weights(whole, load_checkpoint(folder))


def test_a_tower_that_transformers_saved_can_be_passed(folder: Path, tmp_path: Path) -> None:
    taken = tower_weights(folder)
    tower = CLIPVisionModel(CLIPVisionConfig(**tiny_released.TOWER))
    tower.load_state_dict(taken)
    tower.save_pretrained(tmp_path / "tower")
    network = load_checkpoint(folder, tower=tmp_path / "tower")
    assert same_weights(network.model.vision_tower, tower)


def test_weights_in_the_checkpoint_win_over_the_tower_it_names(folder: Path) -> None:
    whole = load_checkpoint(folder)
    wrong = {
        name.removeprefix(tiny_released.TOWER_PREFIX): torch.zeros_like(tensor)
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith(tiny_released.TOWER_PREFIX)
    }
    save_file(wrong, folder / "vision_tower" / "model.safetensors")
    assert same_weights(whole, load_checkpoint(folder))


def test_an_absent_tower_that_is_nowhere_is_an_error_that_says_what_to_pass(folder: Path) -> None:
    tower_weights(folder)
    with pytest.raises(CheckpointError, match="tower=FOLDER") as caught:
        load_checkpoint(folder)
    assert caught.value.code == "checkpoint.tower"
    assert "somebody" not in str(caught.value)


def test_an_unknown_tower_configuration_is_an_error(folder: Path) -> None:
    shutil.rmtree(folder / "vision_tower")
    with pytest.raises(CheckpointError, match="its width is 16"):
        load_checkpoint(folder)


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
def test_dtypes_are_named_or_given(folder: Path, dtype: object, expected: torch.dtype) -> None:
    network = load_checkpoint(folder, dtype=dtype)
    assert {weight.dtype for weight in network.parameters()} == {expected}
    assert network.config.dtype == expected


@pytest.mark.parametrize("dtype", ["int8", "float", torch.int64, None])
def test_other_dtypes_are_refused(folder: Path, dtype: object) -> None:
    with pytest.raises(PolicyError, match="dtype"):
        load_checkpoint(folder, dtype=dtype)


def test_auto_follows_the_tensors_where_the_configuration_is_silent(folder: Path) -> None:
    reconfigure(folder, torch_dtype="absent")
    weights = load_file(folder / "model.safetensors")
    save_file({n: t.bfloat16() for n, t in weights.items()}, folder / "model.safetensors")
    assert load_checkpoint(folder).config.dtype == torch.bfloat16


@pytest.mark.parametrize("device", ["cuda:7", "quantum"])
def test_a_device_that_is_not_there_is_refused(folder: Path, device: str) -> None:
    with pytest.raises(LongLlavaError, match="cannot be used"):
        load_checkpoint(folder, device=device)


def test_the_network_does_not_hold_on_to_the_file(folder: Path) -> None:
    network = load_checkpoint(folder)
    before = last_logits(network)
    file = folder / "model.safetensors"
    file.write_bytes(b"\0" * file.stat().st_size)
    assert torch.equal(last_logits(network), before)


def test_no_tensor_outlives_its_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(folder)
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
    load_checkpoint(folder)
    assert [len(alive[position]) > 10 for position in range(3)] == [True] * 3


def test_the_slow_reference_agrees_after_the_round_trip(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    load_checkpoint(folder).save_pretrained(tmp_path / "saved")
    slow = slow_reference.logits(
        weights, tiny_released.config_of(4), tiny_released.TOWER, IDS, PIXELS
    )
    found = last_logits(load_checkpoint(tmp_path / "saved"))
    assert (found - slow[-1]).abs().max() < 1e-4
