"""Floating-point operations of prefill and decode: ours, and what the original script counts.

A multiplication and an addition are two operations. Softmax, norms and activations are left out:
they are under 1 % at these widths.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from longllava_domains.model.network.config import LongLlavaConfig

# Operations for each channel and state of the scan: decay, input, update and read-out
# (Gu and Dao, Mamba, 2023, appendix on FLOPs).
_SCAN: Final = 9

# Constants of the original script (utils/cal_flops.py of the reference repository).
_REFERENCE_MAMBA_LAYERS: Final = 12
_REFERENCE_ATTENTION_LAYERS: Final = 4
_REFERENCE_ATTENTION_TOKENS: Final = 4096


@dataclass(frozen=True)
class Flops:
    """Operations of one request.

    Attributes:
        tower: Encoding all views.
        prefill: The language model over the whole prompt, the head once.
        decode_per_token: One more token at the end of it.
        reference_prefill: What the original script would print for the same prompt.
    """

    tower: float
    prefill: float
    decode_per_token: float
    reference_prefill: float

    def to_json(self) -> dict[str, float]:
        """Return the counts as JSON."""
        return asdict(self)


def count_flops(config: LongLlavaConfig, views: int, tokens: int, batch: int = 1) -> Flops:
    """Count the operations of a batch of equal requests.

    Args:
        config: The network.
        views: Views of one request.
        tokens: Tokens of its prompt, those of views included.
        batch: Requests; decoding advances all of them by one token.
    """
    text = config.text_config
    per_token = sum(_layer(text, index) for index in range(text.num_hidden_layers))
    attending = list(text.layers_block_type).count("attention")
    head = 2 * text.hidden_size * text.vocab_size
    read = 4 * text.hidden_size * attending  # for each earlier token: scores and weighted sum
    return Flops(
        tower=batch * views * _view(config),
        prefill=batch * (tokens * per_token + read * tokens * (tokens + 1) / 2 + head),
        decode_per_token=batch * (per_token + read * tokens + head),
        reference_prefill=batch * _reference(text, tokens),
    )


def _layer(text: Any, index: int) -> int:
    H = text.hidden_size
    if text.layers_block_type[index] == "attention":
        shared = H * text.num_key_value_heads // text.num_attention_heads
        mixed = 2 * H * (2 * H + 2 * shared)
    else:
        mixed = _mamba(text)
    experts = text.layers_num_experts[index]
    active = text.num_experts_per_tok if experts > 1 else 1
    router = 2 * H * experts if experts > 1 else 0
    return int(mixed + router + active * 6 * H * text.intermediate_size)


def _mamba(text: Any) -> int:
    H, N, R = text.hidden_size, text.mamba_d_state, text.mamba_dt_rank
    E = text.mamba_expand * H
    projections = 2 * H * 2 * E + 2 * E * (R + 2 * N) + 2 * R * E + 2 * E * H
    return int(projections + 2 * E * text.mamba_d_conv + _SCAN * E * N)


def _view(config: LongLlavaConfig) -> float:
    """One view through the layers of the tower that are computed, and the projector."""
    vision, patches = config.vision_config, config.patch_grid**2
    V, F, tokens = vision.hidden_size, vision.intermediate_size, patches + 1
    layers = range(vision.num_hidden_layers + 1)[config.vision_feature_layer]
    each = tokens * (8 * V * V + 4 * V * F) + 4 * tokens * tokens * V
    H = config.text_config.hidden_size
    embedded = 2 * patches * V * 3 * vision.patch_size**2
    return float(layers * each + embedded + config.tokens_per_image * 2 * H * (V + H))


def _reference(text: Any, tokens: int) -> float:
    """Count as the original script does.

    12 Mamba layers with a dense MLP and 12 with experts (there are 28), with two matrices of
    each MLP (there are three) and none of Mamba's projections; 4 attention layers over a constant
    4,096 tokens; no tower, no head. The attention part is rebuilt from the script's printed
    result for 54 images, 0.0131 PFLOPs.
    """
    H, matrices = text.hidden_size, 4 * text.hidden_size * text.intermediate_size
    active = text.num_experts_per_tok
    mamba = _REFERENCE_MAMBA_LAYERS * matrices * (1 + active) * tokens
    attention = 12 * H * H + 4 * H * tokens + active * matrices
    return float(mamba + _REFERENCE_ATTENTION_LAYERS * _REFERENCE_ATTENTION_TOKENS * attention)
