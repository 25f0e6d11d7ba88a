"""`inspect_checkpoint` sees everything and reads no weights."""

import json
from pathlib import Path

import pytest
import tiny_released
import torch
from safetensors.torch import load_file, save_file

from longllava_domains.errors import CheckpointError
from longllava_domains.model import inspect_checkpoint
from longllava_domains.model.checkpoint.files import WeightFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_released.write_released(tmp_path / "model", experts=4)
    return tmp_path / "model"


def test_a_complete_checkpoint_is_described_part_by_part(folder: Path) -> None:
    found = inspect_checkpoint(folder)
    assert found.complete
    assert (found.layout, found.tower, found.files) == ("released", "inside", 1)
    assert (found.pooling, found.tokens_per_image) == ("2d", 4)
    assert found.layers == ("mamba", "mamba+4 experts", "attention", "mamba+4 experts")
    weights = load_file(folder / "model.safetensors")
    assert found.parameters == sum(tensor.numel() for tensor in weights.values())
    assert found.bytes == 4 * found.parameters
    parts = {part.name: (part.tensors, part.parameters) for part in found.parts}
    assert parts["experts"] == (2 * 4 * 3, 2 * 4 * 3 * 24 * 40)
    assert parts["dense MLP"] == (2 * 3, 2 * 3 * 24 * 40)
    assert parts["router"] == (2, 2 * 4 * 24)
    assert parts["attention"] == (4, 2 * 24 * 24 + 2 * 24 * 12)
    assert parts["mamba"][0] == 3 * 12
    assert parts["norms"] == (9, 9 * 24)
    assert parts["embeddings"] == parts["lm_head"] == (1, 1600 * 24)
    assert found.mapping["model.mm_projector.0.bias"] == "model.multi_modal_projector.linear_1.bias"
    assert json.loads(json.dumps(found.to_json()))["complete"] is True


def test_what_does_not_fit_is_listed_and_not_raised(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.0.mamba.D"]
    weights["lm_head.weight"] = torch.zeros(2, 2)
    weights["model.image_newline"] = torch.zeros(24)
    save_file(weights, folder / "model.safetensors")
    found = inspect_checkpoint(folder)
    assert not found.complete
    assert found.missing == ("model.layers.0.mamba.D",)
    assert found.unexpected == ("model.image_newline",)
    assert found.wrong_shape == {"lm_head.weight": ((2, 2), (1600, 24))}


def test_no_weight_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(WeightFiles, "tensors", refuse)
    assert inspect_checkpoint(folder).complete


def test_a_separate_and_an_absent_tower_are_told_apart(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    tower = {
        name.removeprefix(tiny_released.TOWER_PREFIX): weights.pop(name)
        for name in list(weights)
        if name.startswith(tiny_released.TOWER_PREFIX)
    }
    save_file(weights, folder / "model.safetensors")
    absent = inspect_checkpoint(folder)
    assert (absent.tower, absent.complete, len(absent.missing)) == ("absent", False, len(tower))
    save_file(tower, folder / "vision_tower" / "model.safetensors")
    separate = inspect_checkpoint(folder)
    assert (separate.tower, separate.complete) == ("separate", True)
    assert {part.name for part in separate.parts} >= {"vision", "mamba"}


def test_a_fingerprint_tells_fine_tunings_of_one_network_apart(folder: Path) -> None:
    first = WeightFiles(folder).fingerprint()
    assert WeightFiles(folder).fingerprint() == first
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor * 1.001 for name, tensor in weights.items()}, folder / "model.safetensors"
    )
    assert WeightFiles(folder).fingerprint() != first


def test_the_packaged_model_is_complete() -> None:
    found = inspect_checkpoint("demo")
    assert found.complete
    assert found.layout == "own"


def test_nothing_to_inspect_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        inspect_checkpoint(tmp_path)
