"""`Material`: a benchmark as it is shown and asked, before any model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from longllava_domains.evaluate import Dataset
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.pipelines.benchmark.asking import Reply
from longllava_domains.visual import VisualSequence


@dataclass(frozen=True)
class AskedQuestion:
    """One question of an item, as a protocol asks it.

    Attributes:
        prompt: Sent as it stands.
        choices: Answers that are scored in place of generating one.
    """

    prompt: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchmarkItem:
    """One row of a benchmark.

    Attributes:
        id: As the references have it.
        shown: Name of what is shown.
        group: What another image must not come from: a patient, or the image itself.
        facts: What a protocol needs to write the prompt.
    """

    id: str
    shown: str
    group: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def _nothing_before(item: BenchmarkItem, protocol: Protocol) -> Sequence[AskedQuestion]:
    """Ask nothing before: the prompts stand as they are."""
    return ()


def _as_it_stands(
    item: BenchmarkItem, question: AskedQuestion, before: Sequence[Reply]
) -> AskedQuestion:
    return question


@dataclass(frozen=True)
class Material:
    """A benchmark from the user's disk, ready to be shown to any model.

    Attributes:
        benchmark: Name in `evaluate.PROTOCOLS`.
        references: What `evaluate.score` takes.
        items: In the order of the references.
        show: Opens what an item shows, by name.
        questions: The questions of an item under a protocol.
        predict: From an item and its replies, in order, to the fields of a prediction row.
        views: Policy and order of the views, for the card and the prediction rows.
        identity: SHA-256 of the whole split that is asked about.
        notes: Sentences for the card.
        before: What is asked about an item first, where a protocol's question depends on it.
        in_light_of: From an item, its question and the replies to what was asked before, to the
            question.
        counts: Numbers of items for the card, by name.
    """

    benchmark: str
    references: Dataset
    items: Sequence[BenchmarkItem]
    show: Callable[[str], VisualSequence]
    questions: Callable[[BenchmarkItem, Protocol], Sequence[AskedQuestion]]
    predict: Callable[[BenchmarkItem, Sequence[Reply]], Mapping[str, Any]]
    views: Mapping[str, Any]
    identity: str
    notes: tuple[str, ...] = ()
    before: Callable[[BenchmarkItem, Protocol], Sequence[AskedQuestion]] = _nothing_before
    in_light_of: Callable[[BenchmarkItem, AskedQuestion, Sequence[Reply]], AskedQuestion] = (
        _as_it_stands
    )
    counts: Mapping[str, int] = field(default_factory=dict)


def first_rows(data: Dataset, limit: int | None) -> Dataset:
    """Return a dataset with only the first rows of its scored split, which then says so.

    Args:
        data: As it lies on the disk.
        limit: How many; None for all.
    """
    if limit is None or limit >= len(data.references):
        return data
    note = f"only the first {limit:,} of {len(data.references):,} rows: not the benchmark's number"
    splits = {**data.splits, data.evaluated: data.references[:limit]}
    return replace(data, splits=splits, notes=(*data.notes, note))


def spell_options(options: Sequence[str]) -> str:
    """Return options as ``A. first`` on a line each, as the published prompts have them."""
    return "\n".join(f"{chr(ord('A') + place)}. {text}" for place, text in enumerate(options))


def said(item: BenchmarkItem, replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the fields of a row whose prediction is one text."""
    (reply,) = replies
    return {"question_id": item.id, "prediction": reply.text}
