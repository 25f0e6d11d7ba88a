"""Adapters by hub id, as .bin, under the original's names, and beside weights in 8 bits."""

import json
from pathlib import Path

import pytest
import tiny_released
import torch
from checkpoint_folders import last_logits, rewrite
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_longllava import DEMO

from longllava_domains.errors import CheckpointError, QuantizationError
from longllava_domains.model import load_checkpoint, load_model
from longllava_domains.model.checkpoint.adapter.merge import adapter_folder, merge_adapter
from longllava_domains.model.int8.low_rank import LoraBesideInt8

LINEAR = (
    "model.layers.0.mamba.in_proj",
    "model.layers.1.mamba.x_proj",
    "model.layers.2.self_attn.q_proj",
    "model.layers.0.moe.experts.0.gate_proj",  # a dense layer
)
EXPERTS = ("model.layers.1.moe.experts.2.up_proj", "model.layers.3.moe.experts.0.down_proj")
PROJECTOR = "model.mm_projector.0.weight"
SCALE = 8 / 2


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tiny_released.write_released(tmp_path / "base", experts=4)
    return tmp_path / "base"


def originals(base: Path, folder: Path, names: tuple[str, ...], *, pickled: bool = True) -> Path:
    """Write an adapter as the original's training script does; its effect is in ``expected``."""
    torch.manual_seed(3)
    shapes = {name: load_file(base / "model.safetensors")[f"{name}.weight"].shape for name in names}
    weights = {}
    for name, (rows, columns) in shapes.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = torch.randn(2, columns) * 0.2
        weights[f"base_model.model.{name}.lora_B.weight"] = torch.randn(rows, 2) * 0.2
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": ["in_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    if pickled:
        torch.save(weights, folder / "adapter_model.bin")
    else:
        save_file(weights, folder / "adapter_model.safetensors")
    return folder


def with_updates(base: Path, folder: Path) -> None:
    """Fold an adapter of the original's names into the base's own file."""
    plain, pickled = folder / "adapter_model.safetensors", folder / "adapter_model.bin"
    factors = load_file(plain) if plain.is_file() else torch.load(pickled)

    def change(weights: dict[str, torch.Tensor]) -> None:
        for name, down in factors.items():
            if ".lora_A" in name:
                target = name.removeprefix("base_model.model.").replace(".lora_A", "")
                weights[target] += SCALE * factors[name.replace("lora_A", "lora_B")] @ down

    rewrite(base, change)


@pytest.mark.parametrize("pickled", [False, True])
def test_an_adapter_under_the_originals_names_is_merged(
    base: Path, tmp_path: Path, pickled: bool
) -> None:
    folder = originals(base, tmp_path / "adapter", LINEAR + EXPERTS, pickled=pickled)
    projector = torch.randn(24, 16) * 0.1
    torch.save({f"base_model.model.{PROJECTOR}": projector}, folder / "non_lora_trainables.bin")
    before = last_logits(load_checkpoint(base))
    found = last_logits(merge_adapter(load_checkpoint(base), folder))
    with_updates(base, folder)
    rewrite(base, lambda weights: weights.update({PROJECTOR: projector}))
    torch.testing.assert_close(found, last_logits(load_checkpoint(base)), rtol=0, atol=1e-5)
    assert (found - before).abs().max() > 1e-2


def test_a_peft_adapter_as_bin_is_the_same_as_in_safetensors(tmp_path: Path) -> None:
    adapted = get_peft_model(
        load_checkpoint(DEMO, dtype="float32"), LoraConfig(r=2, target_modules=["q_proj"])
    )
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    folder = tmp_path / "adapter"
    adapted.save_pretrained(str(folder))
    weights = folder / "adapter_model.safetensors"
    models = [load_model("demo", adapter=folder, device="cpu")]
    torch.save(load_file(weights), folder / "adapter_model.bin")
    weights.unlink()
    models.append(load_model("demo", adapter=folder, device="cpu"))
    one, other = (dict(model.network.named_parameters()) for model in models)
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_an_adapter_is_found_by_its_hub_id(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "adapter"
    layers = LoraConfig(r=2, target_modules=["o_proj"])
    get_peft_model(load_checkpoint(DEMO), layers).save_pretrained(str(folder))
    asked = []

    def fetch(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, allow_patterns))
        return str(folder)

    monkeypatch.setattr("longllava_domains.model.checkpoint.source.snapshot_download", fetch)
    model = load_model("demo", adapter="someone/adapter", device="cpu")
    assert [hub_id for hub_id, _ in asked] == ["someone/adapter"]
    assert not any(pattern.endswith(".py") or pattern == "*" for pattern in asked[0][1])
    assert model.provenance["adapter"] == "someone/adapter"
    local = load_model("demo", adapter=folder, device="cpu")
    assert local.provenance["adapter"].startswith("local:")
    assert local.provenance["adapter_sha256"] == model.provenance["adapter_sha256"]
    with pytest.raises(CheckpointError, match="no readable adapter"):
        adapter_folder(tmp_path)


@torch.no_grad()
def test_lora_stays_exact_beside_8_bits(base: Path, tmp_path: Path) -> None:
    folder = originals(base, tmp_path / "adapter", LINEAR)
    network = load_checkpoint(base, quantization="int8")
    found = last_logits(merge_adapter(network, folder))
    beside = [m for m in network.modules() if isinstance(m, LoraBesideInt8)]
    assert len(beside) == 3  # x_proj is kept in its own precision, and merged

    # The same in float: rounded weights, and the update added without rounding.
    expected = load_checkpoint(base)
    rounded = load_checkpoint(base, quantization="int8")
    for name, module in rounded.named_modules():
        scales = {n: b for n, b in module.named_buffers(recurse=False) if n.endswith("_scale")}
        for scale, values in scales.items():
            leaf = scale.removesuffix("_scale")
            codes = getattr(module, leaf)
            expected.get_submodule(name).get_parameter(leaf).copy_(codes * values.unsqueeze(-1))
    torch.testing.assert_close(
        found, last_logits(merge_adapter(expected, folder)), rtol=0, atol=1e-4
    )


def test_what_cannot_stand_beside_8_bits_is_refused(base: Path, tmp_path: Path) -> None:
    experts = originals(base, tmp_path / "experts", EXPERTS)
    with pytest.raises(QuantizationError, match="experts"):
        merge_adapter(load_checkpoint(base, quantization="int8"), experts)
    linear = originals(base, tmp_path / "linear", LINEAR)
    network = merge_adapter(load_checkpoint(base, quantization="int8"), linear)
    with pytest.raises(QuantizationError, match="left out"):
        network.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_model_in_8_bits_takes_an_adapter_of_ours(tmp_path: Path) -> None:
    layers = r".*language_model.*\.(q_proj|in_proj)"
    adapted = get_peft_model(
        load_checkpoint(DEMO, dtype="float32"), LoraConfig(r=2, target_modules=layers)
    )
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    plain = load_model("demo", device="cpu", quantization="int8")
    tuned = load_model("demo", device="cpu", quantization="int8", adapter=tmp_path / "adapter")
    assert tuned.provenance["adapter_sha256"]
    ids = torch.arange(4, 14)[None]
    with torch.no_grad():
        exact = adapted(input_ids=ids).logits
        near, far = (
            (model.network(ids).logits.float() - exact).norm() / exact.norm()
            for model in (tuned, plain)
        )
    assert near < 0.5 * far


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "LOHA"}, {"use_dora": True}, {"rank_pattern": {"q_proj": 4}},
        {"fan_in_fan_out": True},
    ],
)  # fmt: skip
def test_another_kind_of_adapter_under_the_originals_names_is_refused(
    base: Path, tmp_path: Path, change: dict
) -> None:
    folder = originals(base, tmp_path / "adapter", LINEAR)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | change))
    with pytest.raises(CheckpointError, match="plain LoRA"):
        merge_adapter(load_checkpoint(base), folder)


@pytest.mark.parametrize("fault", ["half", "shape", "place"])
def test_tensors_without_a_place_are_refused_before_anything_changes(
    base: Path, tmp_path: Path, fault: str
) -> None:
    folder = originals(base, tmp_path / "adapter", LINEAR)
    weights = torch.load(folder / "adapter_model.bin")
    last = list(weights)[-1]
    if fault == "half":
        del weights[last]
    elif fault == "shape":
        weights[last] = weights[last][1:]
    else:
        weights["base_model.model.model.layers.9.mamba.in_proj.lora_A.weight"] = torch.ones(2, 24)
        weights["base_model.model.model.layers.9.mamba.in_proj.lora_B.weight"] = torch.ones(96, 2)
    torch.save(weights, folder / "adapter_model.bin")
    network = load_checkpoint(base)
    before = last_logits(network)
    with pytest.raises(CheckpointError, match="does not fit"):
        merge_adapter(network, folder)
    torch.testing.assert_close(last_logits(network), before, rtol=0, atol=0)
