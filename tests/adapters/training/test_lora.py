from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from tiny_longllava import tiny_model
from torch import Tensor
from training_rows import samples

from longllava_domains.adapters.data.batch import pack
from longllava_domains.adapters.recipes.lora_settings import TARGETS, LoraSettings
from longllava_domains.adapters.training.lora import attach_lora, require_gradients
from longllava_domains.adapters.training.loss import prepare_loss, summed_loss
from longllava_domains.errors import PolicyError, TrainingError
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter

SMALL = LoraSettings(rank=4, alpha=8)


def logits(network: object) -> Tensor:
    row = pack(samples(tiny_model().network, torch.float32))
    inputs = {name: value for name, value in row.items() if name != "labels"}
    with torch.no_grad():
        return network(**inputs).logits  # type: ignore[no-any-return, operator]


def filled(network: LongLlavaForConditionalGeneration, folder: Path) -> Path:
    """Save an adapter on everything, of which no matrix is zero."""
    adapted, _ = attach_lora(network, SMALL)
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=chance))
    adapted.save_pretrained(folder)
    return folder


def merged_by_hand(network: LongLlavaForConditionalGeneration, folder: Path) -> None:
    """Add every product of the stored matrices to its weight, spelled out."""
    stored = load_file(folder / "adapter_model.safetensors")
    weights = dict(network.named_parameters())
    scale = SMALL.alpha / SMALL.rank
    with torch.no_grad():
        for key, A in stored.items():
            name = key.removeprefix("base_model.model.")
            if "lora_A" not in name:
                continue
            B = stored[key.replace("lora_A", "lora_B")]
            owner = name.removesuffix(".lora_A.weight")
            if ".experts" not in owner:
                weights[f"{owner}.weight"] += scale * B @ A
                continue
            # Which of the two nested wrappers holds which parameter follows from the sizes.
            experts = owner.removesuffix(".base_layer")
            parameter = next(
                weights[f"{experts}.{which}"]
                for which in ("gate_up_proj", "down_proj")
                if weights[f"{experts}.{which}"].shape[1:] == (len(B), A.shape[1])
            )
            for expert in range(len(parameter)):
                # The expert's number runs slowest in lora_A's rows and fastest in lora_B's columns.
                first = A[expert * SMALL.rank : (expert + 1) * SMALL.rank]
                second = B[:, expert :: len(parameter)]
                parameter[expert] += scale * second @ first


def test_an_adapter_with_the_output_head_brings_the_whole_head(tmp_path: Path) -> None:
    network = tiny_model().network
    adapted, _ = attach_lora(network, LoraSettings(4, 8, targets=("attention",), head=True))
    learned = network.lm_head.modules_to_save["default"].weight
    assert learned.requires_grad
    with torch.no_grad():
        learned.mul_(-1)
    adapted.save_pretrained(tmp_path, save_embedding_layers=False)
    merged = merge_adapter(tiny_model().network, tmp_path)
    assert torch.allclose(logits(merged), -logits(tiny_model().network), atol=1e-5)


def test_an_expert_adapter_merges_three_ways_to_equal_logits(tmp_path: Path) -> None:
    folder = filled(tiny_model().network, tmp_path / "adapter")
    plain = logits(PeftModel.from_pretrained(tiny_model().network, str(folder)).eval())
    ours = logits(merge_adapter(tiny_model().network, folder))
    by_hand = tiny_model().network
    merged_by_hand(by_hand, folder)
    assert (plain - logits(tiny_model().network)).abs().max() > 0.1
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(by_hand), plain, rtol=1e-4, atol=1e-4)


def test_every_target_learns_and_nothing_else_does() -> None:
    network = tiny_model().network.train()
    head = prepare_loss(network)
    adapted, coverage = attach_lora(network, SMALL)
    summed_loss(adapted, head, pack(samples(network, torch.float32))).backward()
    require_gradients(adapted)
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "multi_modal_projector" in name for name in learning)
    assert not any("vision_tower" in name or "dt_proj" in name for name in learning)
    assert coverage.adapted == {
        "mamba": (12, 16), "attention": (8, 8), "dense MLP": (9, 9), "experts": (6, 6),
    }  # fmt: skip
    assert coverage.trained_parameters == sum(
        p.numel() for p in adapted.parameters() if p.requires_grad
    )
    assert "mamba: 12 of 16 matrices have an adapter." in coverage.lines()


def test_what_the_architecture_lacks_is_left_out_and_said() -> None:
    network = tiny_model().network
    _, coverage = attach_lora(network, LoraSettings(4, 8, targets=("attention", "cross_attn.q")))
    assert coverage.left_out == ("cross_attn.q",)
    assert "This architecture has no cross_attn.q." in coverage.lines()


def test_a_typed_target_must_match() -> None:
    settings = LoraSettings(4, 8, targets=("attention", "cross_attn.q"))
    with pytest.raises(PolicyError) as caught:
        attach_lora(tiny_model().network, settings, typed=["cross_attn.q"])
    assert caught.value.code == "lora.target"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (LoraSettings(4, 8, targets=("mamba.dt_proj",)), "lora.idle_target"),
        (LoraSettings(4, 8, targets=(".*",)), "lora.idle_target"),
        (LoraSettings(4, 8, targets=("feed_forward.router",)), "lora.target"),
        (LoraSettings(4, 8, targets=("vision_tower.*q_proj",)), "lora.target"),
        (LoraSettings(4, 8, targets=("(",)), "lora.pattern"),
        (LoraSettings(4, 8, dropout=0.1), "lora.dropout"),
    ],
)
def test_targets_that_would_not_do_are_refused(settings: LoraSettings, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        attach_lora(tiny_model().network, settings)
    assert caught.value.code == code


def test_an_adapter_without_a_gradient_is_an_error() -> None:
    network = tiny_model().network.train()
    head = prepare_loss(network)
    adapted, _ = attach_lora(network, SMALL)
    summed_loss(adapted, head, pack(samples(network, torch.float32))).backward()
    idle = next(p for name, p in adapted.named_parameters() if ".lora_B." in name)
    idle.grad = torch.zeros_like(idle)
    with pytest.raises(TrainingError, match="1 adapter matrices got no gradient"):
        require_gradients(adapted)


def test_each_group_alone_is_saved_and_loaded_strictly(tmp_path: Path) -> None:
    for group in TARGETS:
        adapted, coverage = attach_lora(
            tiny_model().network,
            LoraSettings(4, 8, targets=(group,), projector=False),
            typed=[group],
        )
        assert len(coverage.adapted) == 1
        adapted.save_pretrained(tmp_path / group)
        assert all("lora_" in name for name in get_peft_model_state_dict(adapted))
        merge_adapter(tiny_model().network, tmp_path / group)
