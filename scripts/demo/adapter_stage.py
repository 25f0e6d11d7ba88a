"""Teach one adapter for each domain on top of the packaged model, from kept features of fresh phantoms."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversations import Row
from language_stage import EVERY, Corpus, loss_of, rate
from pair import average_gradients
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from shape import demo_tokenizer
from torch import Tensor, nn
from torch.nn import functional

from longllava_domains.adapters.recipes.lora_settings import LoraSettings
from longllava_domains.adapters.training.lora import attach_lora
from longllava_domains.model import LongLlavaForConditionalGeneration, load_checkpoint

DRAWINGS = "for_adapters"  # phantoms that neither tower nor language model saw
PLAIN = LoraSettings(rank=16, alpha=32)
# The base never wrote most of the tokens of a box, and its head cannot tell them apart.
WITH_HEAD = LoraSettings(rank=16, alpha=32, head=True)
CARD = """---
license: apache-2.0
tags: [demonstration, drawings]
---

# {name}

For research use only. An adapter of the demonstration model of longllava-domains, which learned from drawings
alone: nothing that it says of a real input means anything. {steps:,} steps of `scripts/train_demo.py`; the
scores are in `docs/demonstration.md` of the repository.
"""


@dataclass(frozen=True)
class Adaptation:
    """One adapter.

    Attributes:
        name: Of its folder, as ``--adapter`` takes it.
        mixture: Kind of phantom -> how often a batch is about it.
        steps: How many.
        peak: Highest learning rate.
        seed: Of its draws.
        settings: What it sits on.
    """

    name: str
    mixture: Mapping[str, float]
    steps: int
    peak: float
    seed: int
    settings: LoraSettings


def adaptations(chests: int, slides: int, scenes: int) -> tuple[Adaptation, ...]:
    """Return the adapters, given the steps of each."""
    return (
        Adaptation("demo-ct", {"chest": 1.0}, chests, 3e-4, 11, PLAIN),
        Adaptation("demo-pathology", {"slide": 1.0}, slides, 3e-4, 12, PLAIN),
        Adaptation(
            "demo-remote-sensing", {"scene": 0.3, "chip": 0.7}, scenes, 1.5e-3, 13, WITH_HEAD
        ),
    )


def chip_loss(
    network: LongLlavaForConditionalGeneration, corpus: Corpus, rows: list[Row]
) -> tuple[Tensor, float]:
    """Return the mean loss of answers about chips, and the share of their tokens that are right."""
    spelled = [(row, ids, labels) for row in rows for ids, labels in row.asked]
    before = len(rows[0].seen)  # every chip is spelled alike
    width = before + max(len(ids) for _, ids, _ in spelled)
    ids = torch.full((len(spelled), width), corpus.tokenizer.pad_id)
    labels = torch.full((len(spelled), width), -100)
    for number, (row, asked, learned) in enumerate(spelled):
        ids[number, : before + len(asked)] = torch.tensor(row.seen + asked)
        labels[number, before : before + len(asked)] = torch.tensor(learned)
    views = np.concatenate([row.views for row, _, _ in spelled])
    pooled = corpus.features["chip"][views].float()
    tokens = network.model.multi_modal_projector(pooled).flatten(0, 1)
    at = (ids == corpus.tokenizer.image_token_id).unsqueeze(-1)
    embedded = network.get_input_embeddings()(ids).masked_scatter(at, tokens)
    hidden = network.model.language_model(inputs_embeds=embedded).last_hidden_state
    learned = labels[:, 1:] != -100
    logits, wanted = network.lm_head(hidden[:, :-1][learned]), labels[:, 1:][learned]
    right = float((logits.argmax(-1) == wanted).float().mean())
    return functional.cross_entropy(logits, wanted), right


def train(rank: int, work: Path, package: Path, adaptation: Adaptation) -> None:
    """Train an adapter, or go on where an earlier run stopped; then write it as peft does."""
    torch.manual_seed(adaptation.seed)
    corpus = Corpus(work / DRAWINGS, demo_tokenizer())
    network = load_checkpoint(package, dtype="float32")
    adapted, _ = attach_lora(network, adaptation.settings)
    learned = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=adaptation.peak, betas=(0.9, 0.98), weight_decay=0.01)
    kept = work / f"{adaptation.name}.pt"
    start, curve = _go_on(kept, adapted, optimiser)
    began = time.perf_counter()
    told: dict[str, list[tuple[float, float]]] = {}
    adapted.train()
    for step in range(start, adaptation.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, adaptation.steps, adaptation.peak)
        chance = np.random.default_rng((adaptation.seed, rank, step))
        rows = corpus.batch(1.0, adaptation.mixture, chance)
        make_loss = chip_loss if rows[0].kind == "chip" else loss_of
        loss, right = make_loss(network, corpus, rows)
        optimiser.zero_grad()
        loss.backward()
        average_gradients(adapted)
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        told.setdefault(rows[0].kind, []).append((float(loss.detach()), right))
        last = step + 1 == adaptation.steps
        if ((step + 1) % EVERY == 0 or last) and rank == 0:
            means = {k: [round(float(x), 4) for x in np.mean(v, 0)] for k, v in told.items()}
            curve.append([step + 1, means])
            spent = time.perf_counter() - began
            print(
                f"{adaptation.name} {step + 1}/{adaptation.steps} {means} {spent:.0f} s", flush=True
            )
            told = {}
        if ((step + 1) % (4 * EVERY) == 0 or last) and rank == 0:
            state = {"adapter": get_peft_model_state_dict(adapted), "step": step + 1,
                     "optimiser": optimiser.state_dict(), "curve": curve}  # fmt: skip
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").rename(kept)


def _go_on(kept: Path, adapted: Any, optimiser: torch.optim.Optimizer) -> tuple[int, list[Any]]:
    """Return the step to begin with and the curve so far, after reading what was kept."""
    if not kept.exists():
        return 0, []
    state = torch.load(kept, weights_only=True)
    set_peft_model_state_dict(adapted, state["adapter"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["curve"]


def write(work: Path, package: Path, adaptation: Adaptation) -> None:
    """Write an adapter in bfloat16 into the package, with its curve."""
    network = load_checkpoint(package, dtype="float32")
    adapted, _ = attach_lora(network, adaptation.settings)
    state = torch.load(work / f"{adaptation.name}.pt", weights_only=True)
    set_peft_model_state_dict(adapted, state["adapter"])
    goal = package / "adapters" / adaptation.name
    adapted.peft_config["default"].base_model_name_or_path = "demo"  # peft would write this folder
    adapted.to(torch.bfloat16).save_pretrained(goal, save_embedding_layers=False)
    curve = json.dumps(state["curve"], separators=(",", ":"))
    (goal / "curve.json").write_text(curve + "\n")
    (goal / "README.md").write_text(CARD.format(**vars(adaptation)))
