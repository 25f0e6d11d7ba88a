"""Train projector and language model on conversations about drawn phantoms, from kept features."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversations import Row, chest_row, padded, picture_row
from pair import average_gradients, run_pair
from pictures import Pictures, read
from shape import configuration, demo_tokenizer, initial
from torch import Tensor, nn
from torch.nn import functional

from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.prompt import PromptTokenizer

TOKENS = 1100  # of a batch in each process
EVERY = 25
MIXTURE = {"chest": 0.7, "scene": 0.17, "slide": 0.13}


def fresh_network(tokenizer: PromptTokenizer) -> LongLlavaForConditionalGeneration:
    """Build the network with the first values of `shape.initial`."""
    network = LongLlavaForConditionalGeneration(configuration(tokenizer)).float()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = initial(name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values, np.float32)))
    return network


def learned_parts(network: LongLlavaForConditionalGeneration) -> nn.ModuleList:
    """Return what this stage trains: all but the tower."""
    model = network.model
    return nn.ModuleList([model.multi_modal_projector, model.language_model, network.lm_head])


def most_slices(share: float, chance: np.random.Generator) -> int:
    """Return how many slices a chest row shows at this share of the training: few at first."""
    if share < 0.25:
        return int(chance.integers(1, 4))
    if share < 0.55:
        return int(chance.integers(2, 13))
    return 1000 if chance.random() < 0.6 else int(chance.integers(6, 40))


class Corpus:
    """Pictures and features of every kind, and the rows drawn from them."""

    def __init__(self, folder: Path, tokenizer: PromptTokenizer) -> None:
        self.tokenizer = tokenizer
        self.sources: dict[str, Pictures] = {}
        self.features: dict[str, Tensor] = {}
        for kind in MIXTURE:
            files = sorted(folder.glob(f"{kind}_*.features.npy"))
            if not files:
                continue
            names = [path.name.replace(".features.npy", ".npz") for path in files]
            self.sources[kind] = read(folder, kind, names, pictures=False)
            self.features[kind] = torch.from_numpy(
                np.concatenate([np.load(path) for path in files])
            )

    def batch(self, share: float, chance: np.random.Generator) -> list[Row]:
        """Draw rows of one kind until the tokens of a batch are full."""
        kinds = list(self.sources)
        weights = np.array([MIXTURE[kind] for kind in kinds])
        kind = str(chance.choice(kinds, p=weights / weights.sum()))
        source = self.sources[kind]
        rows: list[Row] = []
        slices = most_slices(share, chance)
        while True:
            example = int(chance.integers(0, len(source.starts) - 1))
            row = (
                chest_row(source, example, slices, chance, self.tokenizer)
                if kind == "chest"
                else picture_row(source, example, chance, self.tokenizer)
            )
            longest = max(len(row.ids), *(len(other.ids) for other in rows), 0)
            if rows and longest * (len(rows) + 1) > TOKENS:
                return rows
            rows.append(row)


def loss_of(
    network: LongLlavaForConditionalGeneration, corpus: Corpus, rows: list[Row]
) -> tuple[Tensor, float]:
    """Return the mean loss of what is learned, and the share of first tokens that are right."""
    ids, labels = padded(rows, corpus.tokenizer.pad_id)
    embedded = network.get_input_embeddings()(ids)
    kind = rows[0].kind
    seen = corpus.features[kind][np.concatenate([row.views for row in rows])].float()
    tokens = network.model.multi_modal_projector(seen).flatten(0, 1)
    at = (ids == corpus.tokenizer.image_token_id).unsqueeze(-1).expand_as(embedded)
    embedded = embedded.masked_scatter(at, tokens)
    hidden = network.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    learned = labels[:, 1:] != -100
    logits = network.lm_head(hidden[:, :-1][learned])
    wanted = labels[:, 1:][learned]
    first = (learned & ~functional.pad(learned, (1, 0))[:, :-1])[learned]
    weights = torch.where(first, 1.0, 0.25)
    each = functional.cross_entropy(logits, wanted, reduction="none")
    right = (logits.argmax(-1) == wanted)[first].float().mean()
    return (each * weights).sum() / weights.sum(), float(right)


def rate(step: int, steps: int, peak: float) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    return (
        peak
        * min(1.0, (step + 1) / 60)
        * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))
    )


def train(rank: int, folder: Path, steps: int, seed: int = 2, peak: float = 3e-3) -> None:
    """Train, or go on where an earlier run stopped; the curve is in language.json."""
    torch.manual_seed(seed)
    tokenizer = demo_tokenizer()
    corpus = Corpus(folder, tokenizer)
    network = fresh_network(tokenizer)
    learned = learned_parts(network)
    optimiser = torch.optim.AdamW(
        learned.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01
    )
    kept = folder / "language.pt"
    curve: list[list[Any]] = []
    start = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        learned.load_state_dict(state["learned"])
        optimiser.load_state_dict(state["optimiser"])
        start, curve = state["step"], state["curve"]
    began = time.perf_counter()
    told: dict[str, list[tuple[float, float]]] = {}
    network.train()
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, peak)
        rows = corpus.batch(step / steps, np.random.default_rng((seed, rank, step)))
        loss, right = loss_of(network, corpus, rows)
        optimiser.zero_grad()
        loss.backward()
        average_gradients(learned)
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimiser.step()
        told.setdefault(rows[0].kind, []).append((float(loss.detach()), right))
        if (step + 1) % EVERY == 0 and rank == 0:
            means = {
                kind: [round(float(x), 4) for x in np.mean(pairs, 0)]
                for kind, pairs in told.items()
            }
            curve.append([step + 1, means])
            print(
                f"language {step + 1}/{steps} {means} {time.perf_counter() - began:.0f} s",
                flush=True,
            )
            told = {}
        if (step + 1) % (2 * EVERY) == 0 and rank == 0:
            state = {"learned": learned.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": step + 1, "curve": curve}  # fmt: skip
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").rename(kept)
            (folder / "language.json").write_text(json.dumps(curve))


if __name__ == "__main__":
    run_pair(train, Path(sys.argv[1]), Path(sys.argv[1]), int(sys.argv[2]))
