"""Memory that comes and goes while a network runs, counted from what its code holds at once.

One function for each stage; the peak is the largest. A test compares the sum with the bytes that
are really alive while tiny networks run, so that these formulas follow the code.

Letters: T tokens of a chunk, c of them that a layer works on at once, H hidden, E inner width of
Mamba, I of the MLP, b bytes of one activation.
"""

from dataclasses import dataclass
from typing import Any, Final

import torch

from longllava_domains.model.kernels.int8_matmul import BLOCK_BYTES, compute_dtype
from longllava_domains.model.kernels.scan.blocked import ELEMENTS_PER_STRIP, TOKENS_PER_BLOCK
from longllava_domains.model.layers.carried_state import TOKENS_PER_CHUNK
from longllava_domains.model.layers.kv_storage import BLOCK_TOKENS, SCALE_BYTES, KvCacheDtype
from longllava_domains.model.network.config import LongLlavaConfig

_FLOAT32: Final = 4


@dataclass(frozen=True)
class Step:
    """The amount that runs through the network at once.

    Attributes:
        tokens: Tokens of one chunk.
        views: Views of one micro-batch of the tower.
        device: ``"cpu"`` or ``"cuda"``.
        dtype: Precision of the activations.
        int8: Whether the weights are in 8 bits.
        continued: Whether chunks came before this one.
        kv_cache_dtype: ``"auto"`` or ``"int8"``.
    """

    tokens: int
    views: int
    device: str
    dtype: torch.dtype
    int8: bool
    continued: bool
    kv_cache_dtype: KvCacheDtype = "auto"

    @property
    def layer_tokens(self) -> int:
        """Tokens that one layer works on at once."""
        return min(self.tokens, TOKENS_PER_CHUNK[self.device])


def language_stages(config: LongLlavaConfig, step: Step, context: int) -> dict[str, int]:
    """Return the bytes alive in each stage of the language model, inputs and outputs included.

    Args:
        config: The network.
        step: What runs at once.
        context: Tokens of the whole sequence, for attention on a GPU.

    Returns:
        Stage -> bytes.
    """
    text = config.text_config
    chunk = step.tokens * text.hidden_size * step.dtype.itemsize
    in_and_out = (2 if step.tokens == step.layer_tokens else 3) * chunk
    encoded = chunk + step.views * config.tokens_per_image * text.hidden_size * step.dtype.itemsize
    around = in_and_out + (encoded if step.views else 0)
    stages = {
        "mixer": around + _mixer(text, step),
        "attention": around - (in_and_out - 2 * chunk) + _attention(text, step, context),
        "MLP": around + _feed_forward(text, step),
    }
    if max(text.layers_num_experts) > 1:
        stages["experts"] = around + _experts(text, step)
    return stages


def tower_stage(config: LongLlavaConfig, step: Step) -> int:
    """Return the bytes alive while one micro-batch of views is encoded."""
    vision, b = config.vision_config, step.dtype.itemsize
    tokens = step.views * (config.patch_grid**2 + 1)
    pixels = step.views * 3 * config.view_px**2 * (_FLOAT32 + b)
    return int(pixels + tokens * b * (4 * vision.hidden_size + 3 * vision.intermediate_size))


def _mixer(text: Any, step: Step) -> int:
    """The scan: in_proj's halves, its input, float32 x, dt, y, gate, and the gate's own input."""
    c, b = step.layer_tokens, step.dtype.itemsize
    E, N = text.mamba_expand * text.hidden_size, text.mamba_d_state
    converted = 0 if b == _FLOAT32 else 2 * _FLOAT32  # x and the gate's input, in float32
    per_channel = 2 * b + b + 3 * _FLOAT32 + converted
    small = 2 * (text.mamba_dt_rank + 2 * N) * b + 2 * N * _FLOAT32
    gated = c * (E * per_channel + text.hidden_size * b + small)
    if step.device != "cpu":
        return int(gated)
    strip = min(ELEMENTS_PER_STRIP, E)
    workspace = 2 * min(TOKENS_PER_BLOCK, c) * N * strip * _FLOAT32
    scanning = gated - c * E * (2 * _FLOAT32 if b != _FLOAT32 else _FLOAT32) + workspace
    return int(max(gated, scanning))


def _attention(text: Any, step: Step, context: int) -> int:
    """All tokens of the chunk: queries, keys, values, and what joins the pieces of the cache."""
    T, H, b = step.tokens, text.hidden_size, step.dtype.itemsize
    heads, shared = (
        text.num_attention_heads,
        H * text.num_key_value_heads // text.num_attention_heads,
    )
    own = T * b * (2 * H + 2 * shared)  # the normed input, q, k and v
    block = converted = 0
    if step.kv_cache_dtype == "int8":  # codes of the chunk; a block, and it in float32 on its way
        own += 2 * T * (shared + text.num_key_value_heads * SCALE_BYTES)
        block = 2 * min(context, BLOCK_TOKENS) * shared * b
        converted = 0 if b == _FLOAT32 else block // (2 * b) * _FLOAT32
    if step.device != "cpu":
        joined = 2 * context * shared * b if step.continued or block else 0
        return int(own + joined + block + max(converted, T * H * b))
    # Keys and values for every head, and what is read of them.
    itself = 3 * T * H * b + (2 * T * shared * b if block else 0)
    if not step.continued:
        return int(own + itself + T * heads * _FLOAT32)
    # Queries grouped by the heads they share, what is read of a block, and all reads in float32.
    earlier = T * H * _FLOAT32 + block + max(converted, 2 * T * H * b)
    return int(own + max(itself, earlier) + 5 * T * heads * _FLOAT32)


def _feed_forward(text: Any, step: Step) -> int:
    c, H, I, b = step.layer_tokens, text.hidden_size, text.intermediate_size, step.dtype.itemsize  # noqa: E741
    residuals = 3 * c * H * b  # what the mixer gave, the sum, the normed sum
    down = c * I * b + c * H * b + _product(step, c, I, H)
    return int(residuals + max(3 * c * I * b, down))


def _experts(text: Any, step: Step) -> int:
    """Experts: all token-expert pairs at once, but in int8 on a processor one expert at a time."""
    c, H, I, b = step.layer_tokens, text.hidden_size, text.intermediate_size, step.dtype.itemsize  # noqa: E741
    residuals = 3 * c * H * b
    pairs = c * text.num_experts_per_tok
    if not step.int8 and not _widened(step):
        return int(residuals + pairs * b * (H + 4 * I))
    # The worst case of turns: one expert gets every token. A GPU takes turns where the grouped
    # kernel is not proved.
    gate_up = c * b * (H + 2 * I) + _product(step, c, H, 2 * I)
    down = c * b * (3 * I + H) + _product(step, c, I, H)
    in_turns = c * H * b + max(gate_up, down)
    if step.device == "cpu":
        return int(residuals + in_turns)
    # Gate, up and their product; then that and, for each pair, down, weighted, and the sum.
    grouped = max(pairs * b * 3 * I, pairs * b * (I + 2 * H) + c * H * b)
    return int(residuals + max(in_turns, grouped))


def _product(step: Step, rows: int, inputs: int, outputs: int) -> int:
    """Return what one product with a weight that is converted needs besides input and output."""
    if not step.int8 and not _widened(step):
        return 0
    precision = compute_dtype(step.device, step.dtype)
    copied = rows * inputs * precision.itemsize if precision != step.dtype else 0
    each = (inputs + rows) * precision.itemsize
    return copied + each * min(outputs, max(1, BLOCK_BYTES[step.device] // each))


def _widened(step: Step) -> bool:
    """Return True where weights are widened, a block at a time, to be multiplied faster."""
    return compute_dtype(step.device, step.dtype) != step.dtype
