"""The packaged model is what its script makes, has every part, and says that it is untrained."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import longllava_domains
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.prompt import PromptTokenizer, compose
from longllava_domains.visual import SlicePlace, View, VisualSequence

DEMO = Path(longllava_domains.__file__).parent / "model/demo"
SCRIPT = Path(__file__).parents[2] / "scripts/make_demo_model.py"


@pytest.fixture(scope="module")
def network() -> LongLlavaForConditionalGeneration:
    return load_checkpoint(DEMO, dtype="float32")


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    return PromptTokenizer.from_folder(DEMO)


def test_making_it_again_gives_the_packaged_weights(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_demo_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shutil.copy(DEMO / "tokenizer.json", tmp_path)
    script.main(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        DEMO / "model.safetensors"
    ).read_bytes()
    made, packaged = (
        json.loads((folder / "config.json").read_text()) for folder in (tmp_path, DEMO)
    )
    assert made | {"transformers_version": ""} == packaged | {"transformers_version": ""}


def test_it_says_that_it_is_an_untrained_demonstration(network) -> None:
    assert network.config.demo
    assert not network.config.trained
    assert network.config.trained_length == 0


def test_it_has_every_kind_of_layer_in_a_few_megabytes(network) -> None:
    text = network.config.text_config
    kinds = set(zip(text.layer_types, (n > 1 for n in text.layers_num_experts), strict=True))
    assert kinds == {
        ("linear_attention", False), ("linear_attention", True), ("full_attention", False),
    }  # fmt: skip
    assert (network.config.view_px, network.config.tokens_per_image) == (336, 144)
    assert (DEMO / "model.safetensors").stat().st_size < 6e6


def test_its_time_steps_are_those_of_a_trained_mamba(network) -> None:
    biases = [p for name, p in network.named_parameters() if name.endswith("dt_proj.bias")]
    steps = torch.nn.functional.softplus(torch.cat(biases))
    assert len(biases) == 6
    assert 0.9e-3 < steps.min() < 2e-3
    assert 0.08 < steps.max() < 0.11


def test_its_tokenizer_fits_its_vocabulary(network, tokenizer) -> None:
    assert network.lm_head.weight.shape[0] == tokenizer.vocab_size
    assert network.config.image_token_id == tokenizer.image_token_id
    assert network.generation_config.eos_token_id == tokenizer.eos_id


def test_what_it_sees_changes_what_it_says(network, tokenizer) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 336).astype(np.uint8)[:, None, None], (336, 336, 3))
    place = SlicePlace(0, 0.0, 1.0, "lung")
    logits = []
    for pixels in (ramp, ramp[::-1]):
        sequence = VisualSequence((View(np.ascontiguousarray(pixels), place),))
        ids = tokenizer.encode(
            compose(sequence, "Is there a pleural effusion?"),
            tokens_per_image=network.config.tokens_per_image,
            image_token_id=network.config.image_token_id,
        )
        with torch.no_grad():
            out = network(input_ids=torch.tensor([ids]), pixel_values=pixel_values(sequence.views))
        logits.append(out.logits[0, -1])
    assert torch.isfinite(logits[0]).all()
    assert (logits[0] - logits[1]).abs().max() > 0.1
