"""Conversations about drawn phantoms, spelled by the project's own prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chip_stage import spelled
from numpy.typing import NDArray
from pictures import CLASSES, LABELS, NOT_COUNTED, Pictures
from torch import Tensor

from longllava_domains.adapters.phantoms.labelled_scene import OBJECTS
from longllava_domains.boxes import write_boxes
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.pipelines.ct.preset import CTPreset
from longllava_domains.pipelines.search.preset import SearchPreset
from longllava_domains.prompt import PromptTokenizer, encode_training, render_training
from longllava_domains.visual import MapPlace, View, VisualSequence

SEEN, UNSURE = 6, 1  # 255ths of a patch, as for the tower
PRESET = CTPreset.named()
SEARCH = SearchPreset.named("fit-rs")
ASKED_IN_VAIN = 0.3  # how often a chip is asked for what it does not show
TOKENS_PER_VIEW = 4
MOST_QUESTIONS = 3  # of those to be answered with yes, and with no
Rounds = list[tuple[str, str]]

assert NOT_COUNTED < 0
assert len(CLASSES) > len(LABELS)


@dataclass(frozen=True)
class Row:
    """One look at a phantom, and questions that each continue from it, as `Session.score` asks.

    Attributes:
        seen: Token ids up to the last view.
        asked: For each question the ids behind that, and the learned ids (-100 elsewhere).
        views: Numbers of the views among all features of its kind, in order.
        kind: Which features.
        showing: For each question the views that show what it asks for, bool (views,); None where
            none does, or where it is not known.
    """

    seen: list[int]
    asked: list[tuple[list[int], list[int]]]
    views: NDArray[np.int64]
    kind: str
    showing: list[NDArray[np.bool_] | None]


def report(labels: list[str] | tuple[str, ...]) -> str:
    """Return the report that the model learns to write: every finding in turn, then those present."""
    told = "; ".join(f"{label.lower()}: {'yes' if label in labels else 'no'}" for label in LABELS)
    present = ", ".join(label.lower() for label in LABELS if label in labels)
    return f"Findings: {told}. Impression: {present or 'no finding'}."


def chest_row(
    source: Pictures,
    example: int,
    slices: int,
    chance: np.random.Generator,
    tokenizer: PromptTokenizer,
) -> Row:
    """Ask about some neighbouring slices of a chest, each shown in both windows."""
    start, end = int(source.starts[example]), int(source.starts[example + 1])
    depth = (end - start) // 2
    slices = min(slices, depth)
    shown = source.covered[start:end, : len(LABELS)].max((2, 3))  # (views, labels)
    first = _first_slice(shown[:depth] | shown[depth:], slices, chance)
    stride = 1 if slices * 2 > depth else int(chance.integers(1, max(2, depth // slices)))
    picked = np.minimum(first + stride * np.arange(slices), depth - 1)
    picked = np.unique(picked)
    views = np.concatenate([start + picked, start + depth + picked])
    most = source.covered[views, : len(LABELS)].max((2, 3))
    rounds, labels = _chest_rounds(most.max(0), chance)
    showing = [None if label is None else most[:, LABELS.index(label)] >= SEEN for label in labels]
    return _encoded(rounds, len(views), views, "chest", tokenizer, showing)


def _first_slice(seen: NDArray[np.uint8], slices: int, chance: np.random.Generator) -> int:
    """Begin near a finding more often than not, or a few slices would show nothing."""
    room = len(seen) - slices
    if room <= 0:
        return 0
    if chance.random() < 0.75:
        any_label = np.flatnonzero((seen >= SEEN).any(0))
        if len(any_label):
            at = np.flatnonzero(seen[:, chance.choice(any_label)] >= SEEN)
            return int(np.clip(chance.choice(at) - chance.integers(0, slices), 0, room))
    return int(chance.integers(0, room + 1))


def _chest_rounds(
    most: NDArray[np.uint8], chance: np.random.Generator
) -> tuple[Rounds, list[str | None]]:
    """Return a draft and questions, and which finding each can be seen to ask for."""
    there = [label for label, m in zip(LABELS, most, strict=True) if m >= SEEN]
    absent = [label for label, m in zip(LABELS, most, strict=True) if m < UNSURE]
    others = [label for label in CT_RATE_LABELS if label not in LABELS]
    yes = [str(label) for label in chance.permutation(there)[:MOST_QUESTIONS]]
    no = [str(label) for label in chance.permutation(absent)[:MOST_QUESTIONS]]
    if chance.random() < 0.25:
        no[0] = str(chance.choice(others))
    asked = [(label, "Yes") for label in yes] + [(label, "No") for label in no]
    questions = [(PRESET.finding_prompt.format(label=x.lower()), answer) for x, answer in asked]
    seen = [None, *(label if answer == "Yes" else None for label, answer in asked)]
    return [(PRESET.report_prompt, report(there)), *questions], seen


def picture_row(
    source: Pictures, example: int, chance: np.random.Generator, tokenizer: PromptTokenizer
) -> Row:
    """Ask about a scene or slide as its pipeline shows it."""
    views = np.arange(source.starts[example], source.starts[example + 1])
    fact = source.facts[example]
    if source.kind == "scene":
        if chance.random() < 0.25:
            views = views[:1]  # a chip alone, as a search shows it
        asked = [tuple(pair) for pair in fact["questions"]]
    else:
        asked = [tuple(pair) for pair in (*fact["whole"], *fact["detail"])]
    order = chance.permutation(len(asked))[:8]
    rounds = [(asked[i][0], asked[i][1]) for i in order]
    return _encoded(rounds, _blank(fact, len(views)), views, source.kind, tokenizer)


def chip_row(
    source: Pictures, example: int, chance: np.random.Generator, tokenizer: PromptTokenizer
) -> Row:
    """Ask one chip of a scene where things are, as a search does."""
    start, end = int(source.starts[example]), int(source.starts[example + 1])
    number = int(chance.integers(end - start))
    shown = source.facts[example]["chips"][number]
    absent = [str(name) for name in chance.permutation([n for n in OBJECTS if n not in shown])]
    in_vain = [name for name in absent if chance.random() < ASKED_IN_VAIN]
    rounds = [
        (SEARCH.ask(name), write_boxes(spelled(shown[name]), name=name)) for name in sorted(shown)
    ]
    rounds += [(SEARCH.ask(name), f"There are no {name}s.") for name in in_vain or absent[:1]]
    return _encoded(rounds, 1, np.array([start + number]), "chip", tokenizer)


def _blank(fact: dict[str, Any], views: int) -> VisualSequence | int:
    """Return a sequence of the same layout, for spelling."""
    if fact["grid"] is None or views == 1:
        return views
    place = MapPlace(0, 0, 1, 1, "tile", None, None)
    blank = View(np.zeros((1, 1, 3), np.uint8), place)
    return VisualSequence((blank,) * views, "grid", tuple(fact["grid"]))


def _encoded(
    rounds: Rounds,
    shown: VisualSequence | int,
    views: NDArray[np.int64],
    kind: str,
    tokenizer: PromptTokenizer,
    showing: Sequence[NDArray[np.bool_] | None] = (),
) -> Row:
    seen: list[int] = []
    asked = []
    for pair in rounds:
        made = encode_training(
            render_training([pair], shown),
            tokenizer,
            tokens_per_image=TOKENS_PER_VIEW,
            image_token_id=tokenizer.image_token_id,
        )
        last = len(made.input_ids) - made.input_ids[::-1].index(tokenizer.image_token_id)
        seen = made.input_ids[:last]
        asked.append((made.input_ids[last:], made.labels[last:]))
    return Row(seen, asked, views, kind, list(showing) or [None] * len(asked))


def padded(row: Row, pad_id: int) -> tuple[Tensor, Tensor]:
    """Return ids and labels (questions, tokens), filled on the right, where nothing before sees it."""
    longest = max(len(ids) for ids, _ in row.asked)
    ids = [ids + [pad_id] * (longest - len(ids)) for ids, _ in row.asked]
    labels = [labels + [-100] * (longest - len(labels)) for _, labels in row.asked]
    return torch.tensor(ids), torch.tensor(labels)
