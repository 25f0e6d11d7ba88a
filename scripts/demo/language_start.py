"""The language model's first values: a word finds the views that the projector spells with it."""

import numpy as np
import torch
from pictures import CLASSES
from place_stage import CODES, Placed
from shape import configuration, initial
from torch import Tensor

from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.prompt import PromptTokenizer

HEAD_SCALE = 0.5
QUERY_SCALE = 1.5
BACKGROUND = 0.1
PLACED = 8.0  # times that, for where things are
COMMON_NOISE = 0.3
STRAIGHT = 1.5  # about where GELU is a line
# What a word is must outweigh what the layer before the first attention adds to it.
LOUD, QUIET = 3.0, 0.15
QUIETED = ("out_proj.weight", "down_proj.weight")


def fresh_network(tokenizer: PromptTokenizer) -> LongLlavaForConditionalGeneration:
    """Build the network with the first values of `shape.initial`."""
    network = LongLlavaForConditionalGeneration(configuration(tokenizer)).float()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = initial(name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))
        network.get_input_embeddings().weight.mul_(LOUD)
        for name, parameter in network.named_parameters():
            if "language_model.layers.0." in name and name.endswith(QUIETED):
                parameter.mul_(QUIET)
    begin_attention(network)
    begin_memory(network)
    return network


@torch.no_grad()
def begin_attention(network: LongLlavaForConditionalGeneration) -> None:
    """Begin with a first attention to what is like the query: queries and keys are one projection.

    A word then finds the views that the projector spells with it, before anything is learned.
    """
    text = network.config.text_config
    heads, shared = text.num_attention_heads, text.num_key_value_heads
    layers = network.model.language_model.layers
    first = next(layer.self_attn for layer in layers if hasattr(layer, "self_attn"))
    queries = first.k_proj.weight.unflatten(0, (shared, -1)).repeat_interleave(heads // shared, 0)
    first.q_proj.weight.copy_(QUERY_SCALE * queries.flatten(0, 1))
    first.o_proj.weight.mul_(LOUD)


@torch.no_grad()
def begin_memory(network: LongLlavaForConditionalGeneration) -> None:
    """Begin with a memory that any token can read: what is written and read hardly depends on words.

    Otherwise what one word writes another reads with a sign of its own, and an answer cannot use
    what was found at the words of its question.
    """
    states = network.config.text_config.mamba_d_state
    signs = torch.tensor([1.0, -1.0]).repeat(states // 2).unsqueeze(1)
    for layer in network.model.language_model.layers[1:]:
        if hasattr(layer, "mamba"):
            weight = layer.mamba.x_proj.weight
            for start in (weight.shape[0] - 2 * states, weight.shape[0] - states):
                rows = weight[start : start + states]
                rows.mul_(COMMON_NOISE).add_(signs * weight.shape[1] ** -0.5)


@torch.no_grad()
def begin_projector(
    network: LongLlavaForConditionalGeneration,
    placed: Placed,
    features: Tensor,
    tokenizer: PromptTokenizer,
) -> None:
    """Begin with what the tower already tells: evidence for a class becomes the words for it.

    The first rows of the first layer are the tower's own heads, the others look at features of mean 0
    and spread 1; the columns behind a class are the embeddings of its name. Of the head for places
    the rows pass on where a thing is, lifted to where the function between the layers is straight.
    """
    projector, words = network.model.multi_modal_projector, network.get_input_embeddings().weight
    mean, spread = features.mean((0, 1)), features.std((0, 1)) + 1e-3
    first = projector.linear_1
    first.weight /= spread
    first.bias.copy_(-first.weight @ mean)
    start = 0
    for head in (placed.taught.view_head, placed.taught.count_head, placed.place_head):
        rows = slice(start, start := start + len(head.weight))
        first.weight[rows] = HEAD_SCALE * head.weight
        first.bias[rows] = HEAD_SCALE * head.bias
    edges = slice(start - 4 * CODES, start)
    first.bias[edges] += STRAIGHT
    second = projector.linear_2
    second.weight *= BACKGROUND  # or what is no evidence would drown it
    second.weight[:, edges] *= PLACED
    second.bias.copy_(words[tokenizer.image_token_id] - STRAIGHT * second.weight[:, edges].sum(1))
    for number, name in enumerate(CLASSES):
        ids = tokenizer.encode_text(f" {name.lower()}")
        second.weight[:, number] = words[ids].mean(0) * len(ids) ** 0.5
