"""The language model alone, in the layout that vLLM reads, with an adapter on experts merged."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_longllava import tiny_model
from transformers import JambaForCausalLM
from write_tiny import write_tiny

from longllava_domains.adapters.recipes.lora_settings import LoraSettings
from longllava_domains.adapters.training.lora import attach_lora
from longllava_domains.errors import OutputError, PolicyError
from longllava_domains.model import load_checkpoint
from longllava_domains.model.checkpoint.adapter.merge import merge_adapter
from longllava_domains.model.checkpoint.convert import convert_checkpoint

IDS = torch.tensor([[1, 7, 90, 30, 31, 32, 5]])


def test_the_language_model_alone_speaks_as_in_the_whole(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base")
    adapted, _ = attach_lora(tiny_model().network, LoraSettings(2, 4))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.fill_(0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    convert_checkpoint(base, tmp_path / "text", adapter=tmp_path / "adapter", text_model=True)
    names = set(load_file(tmp_path / "text" / "model.safetensors"))
    assert any(name.endswith("feed_forward.experts.1.gate_proj.weight") for name in names)
    assert not any("vision" in name or "projector" in name or "lora" in name for name in names)
    whole = merge_adapter(load_checkpoint(base, dtype="float32"), tmp_path / "adapter")
    # As stock transformers loads it: this package's classes are not needed.
    alone = JambaForCausalLM.from_pretrained(tmp_path / "text", dtype="float32").eval()
    assert type(alone.model.layers[0].mamba).__name__ == "JambaMambaMixer"
    with torch.no_grad():
        expected, found = (network(input_ids=IDS).logits for network in (whole.eval(), alone))
    assert (expected - found).abs().max() < 1e-4
    with pytest.raises(OutputError):
        convert_checkpoint(base, tmp_path / "text", text_model=True)
    with pytest.raises(PolicyError):
        convert_checkpoint(base, tmp_path / "other", text_model=True, quantization="int8")
