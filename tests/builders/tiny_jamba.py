"""Tiny hybrid networks with a long memory."""

import math

import torch
from torch import nn
from transformers import JambaConfig, JambaForCausalLM
from transformers.models.jamba.modeling_jamba import JambaMambaMixer


def give_long_memory(network: nn.Module) -> nn.Module:
    """Time-step biases as trained Mambas have them: softplus(bias) log-uniform in 1e-3..0.1.

    Default initialisation forgets within two tokens and hides every error of a carried state.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, JambaMambaMixer):
                steps = torch.empty_like(module.dt_proj.bias)
                steps.uniform_(math.log(1e-3), math.log(0.1)).exp_()
                module.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
                module.dt_proj.weight.mul_(0.1)
    return network


def tiny_jamba(seed: int = 0, **changes: object) -> JambaForCausalLM:
    """Six layers, attention at 2 and 5, four experts on odd layers; float32, random weights."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attn_layer_period": 3,
        "attn_layer_offset": 2,
        "num_experts": 4,
        "mamba_d_state": 16,
        "mamba_dt_rank": 8,
        "initializer_range": 0.2,
        "output_router_logits": False,
        **changes,
    }
    network = JambaForCausalLM(JambaConfig(**settings)).eval()
    give_long_memory(network)
    return network
