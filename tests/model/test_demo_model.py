"""The packaged model has every part, says what it learned from, and names what a drawing shows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import longllava_domains
from longllava_domains import ct, pipelines
from longllava_domains.adapters.phantoms import write_dicom_series
from longllava_domains.adapters.phantoms.labelled_chest import labelled_chest, split_of
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint
from longllava_domains.model.network.preprocess import pixel_values
from longllava_domains.prompt import PromptTokenizer, compose
from longllava_domains.provenance import DRAWINGS_NOTICE
from longllava_domains.visual import VisualSequence

DEMO = Path(longllava_domains.__file__).parent / "model/demo"
EXAMPLE = Path(__file__).parents[2] / "examples/chest_phantom"
HELD_OUT = 9_000_000  # neither trained on nor among the seeds that the docs' figures come from


@pytest.fixture(scope="module")
def network() -> LongLlavaForConditionalGeneration:
    return load_checkpoint(DEMO, dtype="float32")


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    return PromptTokenizer.from_folder(DEMO)


def test_it_says_that_it_is_a_demonstration_with_a_trained_length(network) -> None:
    assert network.config.demo
    assert network.config.trained
    assert network.config.trained_length == 4096


def test_it_has_every_kind_of_layer_in_a_few_megabytes(network) -> None:
    text = network.config.text_config
    kinds = set(zip(text.layer_types, (n > 1 for n in text.layers_num_experts), strict=True))
    assert kinds == {
        ("linear_attention", False), ("linear_attention", True),
        ("full_attention", False), ("full_attention", True),
    }  # fmt: skip
    assert (network.config.view_px, network.config.tokens_per_image) == (112, 4)
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 12e6


def test_its_tokenizer_fits_its_vocabulary(network, tokenizer) -> None:
    assert network.lm_head.weight.shape[0] == tokenizer.vocab_size
    assert network.config.image_token_id == tokenizer.image_token_id
    assert network.generation_config.eos_token_id == tokenizer.eos_id


def test_what_it_sees_changes_what_it_says(network, tokenizer) -> None:
    views = ct.open_volume(EXAMPLE).to_sequence(ct.SlicePolicy(windows=("mediastinum",)))
    logits = []
    for z_mm in (56.2, -48.8):  # the second shows an effusion
        shown = next(view for view in views if abs(view.place.z_mm - z_mm) < 1)
        sequence = VisualSequence((shown,))
        ids = tokenizer.encode(
            compose(sequence, "Is there a pleural effusion?"),
            tokens_per_image=network.config.tokens_per_image,
            image_token_id=network.config.image_token_id,
        )
        images = pixel_values(sequence.views, network.config.view_px)
        with torch.no_grad():
            logits.append(network(input_ids=torch.tensor([ids]), pixel_values=images).logits[0, -1])
    assert torch.isfinite(logits[0]).all()
    assert (logits[0] - logits[1]).abs().max() > 1.0


def test_its_curves_fall(tmp_path: Path) -> None:
    curves = json.loads((DEMO / "curves.json").read_text())
    tower = [loss for _, loss in curves["tower"]]
    assert np.mean(tower[-10:]) < 0.5 * np.mean(tower[:10])
    chest = [means["chest"][1] for _, means in curves["language"] if "chest" in means]
    assert np.mean(chest[-10:]) > 0.8  # share of its decisions that are right


def test_planted_findings_rank_above_absent_ones_on_a_chest_it_never_saw(tmp_path: Path) -> None:
    seed = next(n for n in range(HELD_OUT, HELD_OUT + 100) if split_of(n) == "held-out")
    planted = ("Cardiomegaly", "Consolidation", "Pleural effusion")
    write_dicom_series(labelled_chest(seed, findings=planted).phantom, tmp_path / "series")
    result = pipelines.CTReport.from_pretrained("demo")(tmp_path / "series")
    margins = {label: item.yes_logit_margin for label, item in result.abnormalities.items()}
    assert min(margins[label] for label in planted) > 0
    assert sorted(margins, key=lambda label: -margins[label])[:3] == sorted(
        planted, key=lambda label: -margins[label]
    )
    assert DRAWINGS_NOTICE in result.to_text().splitlines()[0]
    assert all(item.probability is None for item in result.abnormalities.values())
    assert all(item.present is None for item in result.abnormalities.values())
