"""Make the demonstration model: the complete architecture at a small size, untrained.

CLIP tower at 336 pixels, 2 x 2 pooling, projector, and a hybrid language model with Mamba and
attention layers, dense and mixture-of-experts blocks. Weights come from NumPy's generator, one
stream for each tensor name, so the files are the same whatever order or library builds them.
The tokenizer must be in the folder already (train_demo_tokenizer.py).

    python scripts/make_demo_model.py [FOLDER]
"""

import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPVisionConfig, GenerationConfig, JambaConfig

from longllava_domains.model import LongLlavaConfig, LongLlavaForConditionalGeneration
from longllava_domains.prompt import PromptTokenizer

FOLDER = Path(__file__).parents[1] / "longllava_domains/model/demo"
SEED = "longllava-domains demonstration model 1"
# Time steps of trained Mamba models (Gu and Dao 2023, section 3.6): log-uniform in this range.
STEP_MIN, STEP_MAX = 1e-3, 0.1


def configuration(tokenizer: PromptTokenizer) -> LongLlavaConfig:
    """Describe the model: every layer kind of LongLLaVA-53B-A13B, in the same order, in 8 layers."""
    text = JambaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_period=4,
        attn_layer_offset=2,
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
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
        projection_dim=64,
    )
    return LongLlavaConfig(
        text_config=text,
        vision_config=vision,
        pooling="2d",
        image_token_index=tokenizer.image_token_id,
        trained_length=0,
        trained=False,
        demo=True,
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


def main(folder: Path) -> None:
    """Build the network, fill it and save it beside its tokenizer."""
    config = configuration(PromptTokenizer.from_folder(folder))
    network = LongLlavaForConditionalGeneration(config).to(torch.bfloat16)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = initial(name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))
    text = config.text_config
    network.generation_config = GenerationConfig(
        pad_token_id=text.pad_token_id,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
    )
    network.save_pretrained(folder)
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{count:,} parameters in {folder.name}/model.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
