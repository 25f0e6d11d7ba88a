"""The shape of the demonstration model: every part of LongLLaVA, small enough for two cores."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPVisionConfig, JambaConfig

from longllava_domains.model import LongLlavaConfig
from longllava_domains.model.checkpoint.source import locate
from longllava_domains.prompt import PromptTokenizer

TRAINED_TOKENS = 4096
# A view shows a chip pixel by pixel; chips overlap by half, so that most objects are whole in one.
CHIPS_PX = [112, 56]
SEED = "longllava-domains demonstration model 2"
# Time steps begin log-uniform in this range: they remember some 5 to 50 tokens, a question's length.
# (Mamba models of real size begin at 0.001 to 0.1: Gu and Dao 2023, section 3.6.)
STEP_MIN, STEP_MAX = 0.02, 0.2


def demo_tokenizer() -> PromptTokenizer:
    """Return the packaged tokenizer, see scripts/train_demo_tokenizer.py."""
    return PromptTokenizer.from_folder(locate("demo").folder)


def configuration(tokenizer: PromptTokenizer) -> LongLlavaConfig:
    """Describe the model: Mamba and attention layers, dense and expert blocks, in five layers."""
    text = JambaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_period=3,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        num_experts=4,
        num_experts_per_tok=2,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
        mamba_dt_rank=6,
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
        tie_word_embeddings=False,
    )
    vision = CLIPVisionConfig(
        hidden_size=192,  # a grey patch of 14 x 14 pixels has 196 values: nearly all of it passes
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=6,
        image_size=112,
        patch_size=14,
        projection_dim=64,
    )
    return LongLlavaConfig(
        text_config=text,
        vision_config=vision,
        pooling="4x4",
        vision_feature_layer=-1,
        image_token_index=tokenizer.image_token_id,
        trained_length=TRAINED_TOKENS,
        trained=True,
        demo=True,
        chips_px=CHIPS_PX,
        tie_word_embeddings=False,
        dtype="bfloat16",
    )


def initial(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the first values of one parameter, as Mamba, Jamba and CLIP begin theirs."""
    digest = hashlib.sha256(f"{SEED}/{name}".encode()).digest()
    chance = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    leaf = name.rsplit(".", 2)[-2:]
    if leaf[-1] == "A_log":
        return np.log(np.broadcast_to(np.arange(1.0, shape[-1] + 1), shape))
    if leaf == ["dt_proj", "bias"]:
        steps = np.exp(chance.uniform(math.log(STEP_MIN), math.log(STEP_MAX), shape))
        return steps + np.log(-np.expm1(-steps))  # softplus of this is the step
    if leaf[-1] == "D" or ("norm" in leaf[0] and leaf[1] == "weight"):
        return np.ones(shape)
    if leaf[-1] == "bias":
        return np.zeros(shape)
    inputs = math.prod(shape[1:]) if len(shape) == 4 else shape[-1]
    return chance.standard_normal(shape) / math.sqrt(inputs)
