"""Eighteen yes/no questions about one long sequence: one session against eighteen prompts.

    python benchmarks/questions.py [--views 300] [--hidden 256] [--prompts 4]

Both score "Yes" and "No" after each question with the same network, so the difference is what is
read again: a session reads the views once. With --prompts below 18 the prompts are timed that
many times and the time is scaled. `--stock` also times prompts through stock transformers.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from hybrid import hybrid_config, longllava_network, machine
from torch import Tensor
from transformers.models.jamba.modeling_jamba import (
    JambaAttention,
    JambaAttentionDecoderLayer,
    JambaMambaDecoderLayer,
    JambaMambaMixer,
)

import longllava_domains
from longllava_domains.model import LongLlava, LongLlavaForConditionalGeneration
from longllava_domains.model.network.processor import Processor
from longllava_domains.prompt import PromptTokenizer, compose
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance
from longllava_domains.visual import SlicePlace, View, VisualSequence

TOPICS = (
    "medical material", "arterial wall calcification", "cardiomegaly", "pericardial effusion",
    "coronary artery wall calcification", "hiatal hernia", "lymphadenopathy", "emphysema",
    "atelectasis", "lung nodule", "lung opacity", "pulmonary fibrotic sequela",
    "pleural effusion", "mosaic attenuation pattern", "peribronchial thickening",
    "consolidation", "bronchiectasis", "interlobular septal thickening",
)  # fmt: skip
CHOICES = ("Yes", "No")


def model(hidden: int) -> LongLlava:
    folder = Path(longllava_domains.__file__).parent / "model/demo"
    tokenizer = PromptTokenizer.from_folder(folder)
    text = hybrid_config(hidden, experts=4)
    text.vocab_size = tokenizer.vocab_size
    network = longllava_network(text)
    network.config.image_token_index = tokenizer.image_token_id
    network.config.image_token_id = tokenizer.image_token_id
    provenance = Provenance(model="benchmark", notices=[RESEARCH_NOTICE])
    return LongLlava(network, Processor(tokenizer, network.config), provenance)


def some_views(count: int) -> VisualSequence:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 84, 84, 1), dtype=np.uint8)
    return VisualSequence(
        tuple(
            View(np.broadcast_to(one, (84, 84, 3)), SlicePlace(index, index, 1.0, "lung"))
            for index, one in enumerate(pixels)
        )
    )


def question(topic: str) -> str:
    return f"Is there {topic} in this CT? Answer Yes or No."


@torch.no_grad()
def prompt_logprobs(
    network: LongLlavaForConditionalGeneration, processor: Processor, inputs: Tensor, pixels: Tensor
) -> list[float]:
    """Score the choices by whole forwards, one for each, as without a cache."""
    scores = []
    for choice in CHOICES:
        answer = processor.tokenizer.encode_text(choice)
        ids = torch.cat([inputs, torch.tensor([answer])], dim=1)
        keep = len(answer) + 1
        logits = network(input_ids=ids, pixel_values=pixels, logits_to_keep=keep).logits
        rows = logits[0].log_softmax(-1)[:-1]
        scores.append(sum(float(row[t]) for row, t in zip(rows, answer, strict=True)))
    return scores


def with_stock_layers(network: LongLlavaForConditionalGeneration) -> None:
    """Put transformers' own classes back, to time the peer."""
    stock = (JambaMambaMixer, JambaAttention, JambaMambaDecoderLayer, JambaAttentionDecoderLayer)
    for module in network.modules():
        for kind in stock:
            if isinstance(module, kind):
                module.__class__ = kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=300)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--stock", action="store_true")
    options = parser.parse_args()
    asked, sequence = model(options.hidden), some_views(options.views)
    start = time.perf_counter()
    with asked.open(sequence) as session:
        opened = time.perf_counter() - start
        ours = [session.score(question(topic), CHOICES) for topic in TOPICS]
    once = time.perf_counter() - start
    tokens = len(asked.processor.encode(compose(sequence, question(TOPICS[0]))))
    print(f"{machine()}; {options.views} views, {tokens} tokens")
    print(f"one session, 18 questions: {once:.2f} s, of which {opened:.2f} s to read the views")
    ways = ["separate prompts", "separate prompts, stock transformers"][: 1 + options.stock]
    for way in ways:
        if way.endswith("transformers"):
            with_stock_layers(asked.network)
        start = time.perf_counter()
        worst = 0.0
        for topic, scores in list(zip(TOPICS, ours, strict=True))[: options.prompts]:
            inputs = asked.processor(sequence, question(topic))
            assert inputs.pixel_values is not None
            whole = prompt_logprobs(
                asked.network, asked.processor, inputs.input_ids, inputs.pixel_values
            )
            pairs = zip(scores, whole, strict=True)
            worst = max(worst, *(abs(ours.sum_logprob - theirs) for ours, theirs in pairs))
        # One forward is enough for both choices where each is one token; count it so.
        seconds = (time.perf_counter() - start) / options.prompts * 18 / len(CHOICES)
        print(
            f"{way}: {seconds:.1f} s for 18 ({options.prompts} timed), "
            f"{seconds / once:.1f} times slower; log-probabilities differ by {worst:.1e} at most"
        )


if __name__ == "__main__":
    main()
