"""Train projector and language model on conversations about drawn phantoms, from kept features."""

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversations import Row, chest_row, chip_row, padded, picture_row
from language_start import begin_projector, fresh_network
from pair import average_gradients, run_pair
from pictures import Pictures, read
from place_stage import taught_places
from recorded import keep_attention, looked_past, recorded_memory
from shape import demo_tokenizer
from torch import Tensor, nn
from torch.nn import functional

from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.prompt import PromptTokenizer

DRAWINGS = "for_language"  # the folder of what is talked about
TOKENS = 1100  # of a batch in each process
EVERY = 25
KINDS = ("chest", "scene", "slide", "chip")
PRESENT_WEIGHT = 5.0  # in a report, where eight of nine findings are absent
LOOK_WEIGHT = 0.2


@dataclass(frozen=True)
class Course:
    """One course of conversations.

    Attributes:
        name: Of its files.
        steps: How many.
        mixture: Kind of phantom -> how often a batch is about it.
        behind: The course that it goes on from; None begins anew.
        seed: Of its draws.
        peak: Highest learning rate.
    """

    name: str
    steps: int
    mixture: Mapping[str, float]
    behind: str | None = None
    seed: int = 2
    peak: float = 8e-4


def courses(all_kinds: int, mostly_scenes: int) -> tuple[Course, Course]:
    """Return the courses in their order: what each kind shows, then mostly scenes, which take longest."""
    first = Course("language", all_kinds, {"chest": 0.7, "scene": 0.17, "slide": 0.13})
    mixture = {"chest": 0.3, "scene": 0.6, "slide": 0.1}
    return first, Course("scenes", mostly_scenes, mixture, first.name, seed=3, peak=6e-4)


def learned_parts(network: LongLlavaForConditionalGeneration) -> nn.ModuleList:
    """Return what this stage trains: all but the tower."""
    model = network.model
    return nn.ModuleList([model.multi_modal_projector, model.language_model, network.lm_head])


def most_slices(share: float, chance: np.random.Generator) -> int:
    """Return how many slices a chest row shows at this share of the training: few at first."""
    if share < 0.3:
        return int(chance.integers(1, 4))
    if share < 0.6:
        return int(chance.integers(2, 13))
    return 1000 if chance.random() < 0.6 else int(chance.integers(6, 40))


class Corpus:
    """Pictures and features of every kind, and the rows drawn from them."""

    def __init__(self, folder: Path, tokenizer: PromptTokenizer) -> None:
        self.tokenizer = tokenizer
        self.yes, self.no = (tokenizer.encode_text(word)[0] for word in ("Yes", "No"))
        self.decisions = [tokenizer.encode_text(word)[0] for word in (" yes", " no")]
        self.sources: dict[str, Pictures] = {}
        self.features: dict[str, Tensor] = {}
        for kind in KINDS:
            files = sorted(folder.glob(f"{kind}_*.features.npy"))
            if not files:
                continue
            names = [path.name.replace(".features.npy", ".npz") for path in files]
            self.sources[kind] = read(folder, kind, names, pictures=False)
            self.features[kind] = torch.from_numpy(
                np.concatenate([np.load(path) for path in files])
            )

    def batch(
        self, share: float, mixture: Mapping[str, float], chance: np.random.Generator
    ) -> list[Row]:
        """Draw rows of one kind until the tokens of a batch are full."""
        kinds = [kind for kind in self.sources if kind in mixture]
        weights = np.array([mixture[kind] for kind in kinds])
        kind = str(chance.choice(kinds, p=weights / weights.sum()))
        source = self.sources[kind]
        rows: list[Row] = []
        total = 0
        slices = most_slices(share, chance)
        while True:
            example = int(chance.integers(0, len(source.starts) - 1))
            if kind == "chest":
                row = chest_row(source, example, slices, chance, self.tokenizer)
            else:
                make = chip_row if kind == "chip" else picture_row
                row = make(source, example, chance, self.tokenizer)
            tokens = len(row.seen) + len(row.asked) * max(len(ids) for ids, _ in row.asked)
            if rows and total + tokens > TOKENS:
                return rows
            rows.append(row)
            total += tokens


def loss_of(
    network: LongLlavaForConditionalGeneration, corpus: Corpus, rows: list[Row]
) -> tuple[Tensor, float]:
    """Return the mean loss of what is learned, and the share of decisions that are right (each kind counts alike)."""
    parts = [_answers(network, corpus, row) for row in rows]
    logits = torch.cat([part[0] for part in parts])
    wanted, first = (torch.cat([part[n] for part in parts]) for n in (1, 2))
    decision = torch.isin(wanted, torch.tensor(corpus.decisions))
    present = wanted == corpus.decisions[0]
    weights = torch.where(first | decision, 1.0, 0.15) + (PRESENT_WEIGHT - 1) * present
    each = functional.cross_entropy(logits, wanted, reduction="none")
    hit = (logits.argmax(-1) == wanted).float()
    groups = (
        [first]
        if rows[0].kind != "chest"
        else [
            group
            for group in (
                present,
                decision & ~present,
                first & (wanted == corpus.yes),
                first & (wanted == corpus.no),
            )
            if group.any()
        ]
    )
    right = torch.stack([hit[group].mean() for group in groups]).mean()
    missed = torch.cat([part[3] for part in parts])
    look = missed.mean() if len(missed) else 0.0
    return (each * weights).sum() / weights.sum() + LOOK_WEIGHT * look, float(right)


def _answers(
    network: LongLlavaForConditionalGeneration, corpus: Corpus, row: Row
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Look once, and let every question continue from there.

    Returns:
        Logits of the learned tokens, what they should be, which of them begin an answer, and for
        each question that was answered with yes how little its attention met views that show why.
    """
    language, embedding = network.model.language_model, network.get_input_embeddings()
    seen = torch.tensor([row.seen])
    pooled = corpus.features[row.kind][row.views].float()
    tokens = network.model.multi_modal_projector(pooled).flatten(0, 1)
    at = (seen == corpus.tokenizer.image_token_id).unsqueeze(-1)
    memory = recorded_memory(network.config.text_config)
    language(
        inputs_embeds=embedding(seen).masked_scatter(at, tokens),
        past_key_values=memory,
        use_cache=True,
    )
    ids, labels = padded(row, corpus.tokenizer.pad_id)
    learned = labels[:, 1:] != -100
    memory = memory.repeat(len(ids))
    layers = keep_attention(memory, learned.byte().argmax(1))
    hidden = language(
        inputs_embeds=embedding(ids), past_key_values=memory, use_cache=True
    ).last_hidden_state
    missed = looked_past(layers, at.flatten(), row.showing)
    first = (learned & ~functional.pad(learned, (1, 0))[:, :-1])[learned]
    return network.lm_head(hidden[:, :-1][learned]), labels[:, 1:][learned], first, missed


def rate(step: int, steps: int, peak: float) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    return (
        peak
        * min(1.0, (step + 1) / 30)
        * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))
    )


def train(rank: int, folder: Path, course: Course) -> None:
    """Train, or go on where an earlier run stopped; the curve is beside the weights."""
    torch.manual_seed(course.seed)
    steps, peak = course.steps, course.peak
    tokenizer = demo_tokenizer()
    corpus = Corpus(folder / DRAWINGS, tokenizer)
    network = fresh_network(tokenizer)
    placed = taught_places(folder)
    begin_projector(network, placed, corpus.features["chest"][::50].float(), tokenizer)
    learned = learned_parts(network)
    optimiser = torch.optim.AdamW(
        learned.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01
    )
    kept = folder / f"{course.name}.pt"
    curve: list[list[Any]] = []
    start = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        learned.load_state_dict(state["learned"])
        optimiser.load_state_dict(state["optimiser"])
        start, curve = state["step"], state["curve"]
    elif course.behind is not None:
        state = torch.load(folder / f"{course.behind}.pt", weights_only=True)
        learned.load_state_dict(state["learned"])
    began = time.perf_counter()
    told: dict[str, list[tuple[float, float]]] = {}
    network.train()
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, peak)
        share = step / steps if course.behind is None else 1.0
        chance = np.random.default_rng((course.seed, rank, step))
        rows = corpus.batch(share, course.mixture, chance)
        loss, right = loss_of(network, corpus, rows)
        optimiser.zero_grad()
        loss.backward()
        average_gradients(learned)
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimiser.step()
        told.setdefault(rows[0].kind, []).append((float(loss.detach()), right))
        last = step + 1 == steps
        if ((step + 1) % EVERY == 0 or last) and rank == 0:
            means = {
                kind: [round(float(x), 4) for x in np.mean(pairs, 0)]
                for kind, pairs in told.items()
            }
            curve.append([step + 1, means])
            print(
                f"{course.name} {step + 1}/{steps} {means} {time.perf_counter() - began:.0f} s",
                flush=True,
            )
            told = {}
        if ((step + 1) % (2 * EVERY) == 0 or last) and rank == 0:
            state = {"learned": learned.state_dict(), "optimiser": optimiser.state_dict(),
                     "step": step + 1, "curve": curve}  # fmt: skip
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").rename(kept)
            kept.with_suffix(".json").write_text(json.dumps(curve))


if __name__ == "__main__":
    for one in courses(int(sys.argv[2]), int(sys.argv[3])):
        run_pair(train, Path(sys.argv[1]), Path(sys.argv[1]), one)
