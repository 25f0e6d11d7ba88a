"""A tiny network in training, and samples with random pixels for it."""

import torch
from tiny_longllava import tiny_model

from longllava_domains.adapters.data.batch import Loaded
from longllava_domains.adapters.data.encode import Encoded
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.prompt.training import IGNORED


def network_of(dtype: torch.dtype, seed: int = 0) -> LongLlavaForConditionalGeneration:
    network = tiny_model(seed).network.to(dtype).train()
    if dtype == torch.float64:
        network.set_experts_implementation("eager")  # torch's grouped product has no float64
    return network


def samples(network: LongLlavaForConditionalGeneration, dtype: torch.dtype) -> list[Loaded]:
    """Five samples of 9 to 40 tokens, with no image, one or several."""
    chance = torch.Generator().manual_seed(3)
    config = network.config
    made = []
    for views, words in ((1, 5), (0, 9), (3, 20), (2, 12), (0, 30)):
        text = torch.randint(20, 200, (words,), generator=chance).tolist()
        image = [config.image_token_id] * config.tokens_per_image * views
        ids = [1, *image, *text]
        labels = [IGNORED] * (len(ids) - words // 2) + ids[len(ids) - words // 2 :]
        pixels = torch.randn(views, 3, 28, 28, generator=chance).to(dtype)
        made.append(Loaded(Encoded(ids, labels, views), pixels))
    return made
