"""The vision tower: in the checkpoint, beside it, passed, or refused."""

import shutil
from pathlib import Path

import pytest
import tiny_released
import torch
from checkpoint_folders import Weights, reconfigure, rewrite, same_weights
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from longllava_domains.errors import CheckpointError
from longllava_domains.model import load_checkpoint


def tower_weights(released: Path) -> Weights:
    """Move the tower out of the checkpoint; return it under CLIP's own names."""
    taken: Weights = {}

    def take(weights: Weights) -> None:
        for name in [name for name in weights if name.startswith(tiny_released.TOWER_PREFIX)]:
            taken[name.removeprefix(tiny_released.TOWER_PREFIX)] = weights.pop(name)

    rewrite(released, take)
    return taken


def test_an_absent_tower_is_loaded_from_the_folder_that_the_checkpoint_names(
    released: Path,
) -> None:
    whole = load_checkpoint(released)
    taken = tower_weights(released)
    reconfigure(released, mm_vision_tower="clip/large")
    shutil.move(released / "vision_tower", released / "clip" / "large")
    clip = {f"vision_model.{name}": tensor for name, tensor in taken.items()}
    clip |= {"vision_model.embeddings.position_ids": torch.arange(17)}
    clip |= {"text_model.final_layer_norm.bias": torch.ones(3), "logit_scale": torch.ones(())}
    save_file(clip, released / "clip" / "large" / "model.safetensors")
    assert same_weights(whole, load_checkpoint(released))


def test_a_tower_that_transformers_saved_can_be_passed(released: Path, tmp_path: Path) -> None:
    taken = tower_weights(released)
    tower = CLIPVisionModel(CLIPVisionConfig(**tiny_released.TOWER))
    tower.load_state_dict(taken)
    tower.save_pretrained(tmp_path / "tower")
    network = load_checkpoint(released, tower=tmp_path / "tower")
    assert same_weights(network.model.vision_tower, tower)


def test_weights_in_the_checkpoint_win_over_the_tower_it_names(released: Path) -> None:
    whole = load_checkpoint(released)
    wrong = {
        name.removeprefix(tiny_released.TOWER_PREFIX): torch.zeros_like(tensor)
        for name, tensor in load_file(released / "model.safetensors").items()
        if name.startswith(tiny_released.TOWER_PREFIX)
    }
    save_file(wrong, released / "vision_tower" / "model.safetensors")
    assert same_weights(whole, load_checkpoint(released))


def test_an_absent_tower_that_is_nowhere_is_an_error_that_says_what_to_pass(released: Path) -> None:
    tower_weights(released)
    with pytest.raises(CheckpointError, match="tower=FOLDER") as caught:
        load_checkpoint(released)
    assert caught.value.code == "checkpoint.tower"
    assert "somebody" not in str(caught.value)


def test_an_unknown_tower_configuration_is_an_error(released: Path) -> None:
    shutil.rmtree(released / "vision_tower")
    with pytest.raises(CheckpointError, match="its width is 16"):
        load_checkpoint(released)
