"""A network of a few layers at a chosen width, for what is counted."""

import torch
from transformers import CLIPVisionConfig, JambaConfig

from longllava_domains.model.int8.quantize import quantize_network
from longllava_domains.model.network.config import LongLlavaConfig
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration


def small_network(hidden: int, experts: int, precision: str) -> LongLlavaForConditionalGeneration:
    text = JambaConfig(
        vocab_size=500, hidden_size=hidden, intermediate_size=7 * hidden // 2, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=1, attn_layer_period=4, attn_layer_offset=2,
        num_experts=experts, num_experts_per_tok=min(2, experts), mamba_dt_rank=hidden // 16,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
        image_size=112, patch_size=14,
    )  # fmt: skip
    config = LongLlavaConfig(text_config=text, vision_config=vision, image_token_index=19)
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    network = LongLlavaForConditionalGeneration(config).to(dtype).eval()
    if precision == "int8":
        quantize_network(network, precision)
    return network
