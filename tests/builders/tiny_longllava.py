"""A complete LongLLaVA at a size for tests: 4 tokens per view of 28 pixels, and a long memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_jamba import give_long_memory
from transformers import CLIPVisionConfig, JambaConfig

import longllava_domains
from longllava_domains.model import LongLlava, LongLlavaConfig, LongLlavaForConditionalGeneration
from longllava_domains.model.network.processor import Processor
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlicePlace, View, VisualSequence

DEMO = Path(longllava_domains.__file__).parent / "model/demo"


def tiny_model(seed: int = 0) -> LongLlava:
    """Six layers of width 32, attention at 2 and 5, four experts on odd layers; random weights."""
    torch.manual_seed(seed)
    tokenizer = PromptTokenizer.from_folder(DEMO)
    text = JambaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_period=3,
        attn_layer_offset=2,
        num_experts=4,
        mamba_dt_rank=8,
        initializer_range=0.2,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
    )
    config = LongLlavaConfig(
        text_config=text, vision_config=vision, image_token_index=tokenizer.image_token_id
    )
    network = LongLlavaForConditionalGeneration(config).eval()
    give_long_memory(network)
    provenance = Provenance(model="tiny", notices=[RESEARCH_NOTICE])
    return LongLlava(network, Processor(tokenizer, config), provenance)


def views(count: int, seed: int = 0, layout: str = "images") -> VisualSequence:
    """Random grey views."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    shown = (
        View(np.broadcast_to(one, (28, 28, 3)), SlicePlace(index, float(index), 1.0, "lung"))
        for index, one in enumerate(pixels)
    )
    return VisualSequence(tuple(shown), layout)


def count_encoded(monkeypatch: pytest.MonkeyPatch, model: LongLlava) -> list[int]:
    """Return a list that gets the number of views of each forward of the tower."""
    batches: list[int] = []
    encode = model.network.encode_images

    def counting(pixels) -> Any:
        batches.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model.network, "encode_images", counting)
    return batches
