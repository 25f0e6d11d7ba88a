"""FIT-RSFG, FIT-RSRC and HRBEN answer files under the official and the strict protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from longllava_domains.evaluate.fit_rsfg.captions import score_captions
from longllava_domains.evaluate.fit_rsfg.captions.score import Tokenizer
from longllava_domains.evaluate.fit_rsfg.choices import score_choices
from longllava_domains.evaluate.fit_rsfg.classification import score_classification
from longllava_domains.evaluate.fit_rsfg.complex import score_complex
from longllava_domains.evaluate.fit_rsfg.equality import score_hrben, score_vqa
from longllava_domains.evaluate.fit_rsfg.rows import ItemToScore, ScoredRows, Verdict, items_of
from longllava_domains.evaluate.predictions import Matching, Row, Source, pair_texts, read_table
from longllava_domains.evaluate.predictions.fields import ID_FIELDS, first_field, id_of
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Cell, Result

SCORERS: Final[Mapping[str, Callable[..., ScoredRows]]] = MappingProxyType(
    {
        "fit-rsfg/vqa": score_vqa,
        "fit-rsfg/classification": score_classification,
        "fit-rsfg/image-caption": score_captions,
        "fit-rsfg/region-caption": score_captions,
        "fit-rsfg/complex": score_complex,
        "fit-rsrc": score_choices,
        "hrben": score_hrben,
    }
)
"""Benchmark -> scorer of its rows."""


def score_file(
    predictions: Source,
    references: Source | None = None,
    *,
    protocol: Protocol,
    how: Matching | None = None,
) -> Result:
    """Score an answer file of the remote sensing benchmarks.

    Args:
        predictions: Rows of the official answer files: ``question_id``, ``image_id``,
            ``category``, ``answer``, ``ground_truth``, and ``question`` for classification.
        references: Rows with the truths, where the predictions do not hold them.
        protocol: One of the official or strict protocols.
        how: Choices about ids, fields and what is missing.

    Raises:
        InputError: A file cannot be read, or no row could be scored.
        PolicyError: An answer is missing and no policy for it was chosen.
    """
    return _score(predictions, references, protocol, how or Matching(), {})


def score_caption_file(
    predictions: Source,
    references: Source | None = None,
    *,
    protocol: Protocol,
    how: Matching | None = None,
    tokenizer: Tokenizer = "auto",
) -> Result:
    """Score a file of captions, as `score_file`.

    Args:
        predictions: Rows of captions; see `score_file`.
        references: Rows with the true captions, where the predictions do not hold them.
        protocol: One of the official or strict protocols.
        how: Choices about ids, fields and what is missing.
        tokenizer: ``"ptb"``, ``"plain"`` or ``"auto"``; see `score_captions`.

    Raises:
        InputError: A file cannot be read, or no row could be scored.
        PolicyError: As `score_file`, or the tokenizer does not exist or cannot be run.
    """
    settings = {"tokenizer": tokenizer}
    return _score(predictions, references, protocol, how or Matching(), settings)


def _score(
    predictions: Source,
    references: Source | None,
    protocol: Protocol,
    how: Matching,
    settings: Mapping[str, Any],
) -> Result:
    if how.answer_field is None:  # the official files keep the prompt in "text"
        how = replace(how, answer_field="answer")
    given = read_table(predictions, "predictions")
    rows = given.rows if references is not None else _with_ids(given.rows, how.id_field)
    pairing = pair_texts(rows, references, how)
    items = items_of(pairing)
    scored = SCORERS[protocol.benchmark](items, protocol.name, **settings)
    left_out = sum(verdict.score is None for verdict in scored.verdicts)
    return Result(
        benchmark=protocol.benchmark,
        protocol=protocol.label,
        metrics=scored.metrics,
        counts=pairing.counts.leaving(left_out),
        settings={"answer_field": how.answer_field, **scored.settings},
        rows=[_cells(item, verdict) for item, verdict in zip(items, scored.verdicts, strict=True)],
        statistics=scored.statistics,
        cluster="image" if any(item.image for item in items) else None,
        notes=(*given.notes, *pairing.notes, *scored.notes),
        headline=tuple(name for name in scored.metrics if not name.startswith("accuracy/")),
    )


def _with_ids(rows: Sequence[Row], chosen: str | None) -> Sequence[Row]:
    """Number the rows without an id by position, where other rows have one."""
    field = chosen or first_field(rows, ID_FIELDS)
    if field is None:
        return rows
    return [
        row if id_of(row.get(field)) is not None else {**row, field: f"row {position}"}
        for position, row in enumerate(rows)
    ]


def _cells(item: ItemToScore, verdict: Verdict) -> dict[str, Cell]:
    return {
        "id": item.id,
        "position": item.position,
        "image": item.image,
        "category": item.category,
        "answer": item.answer,
        "truth": item.truth,
        "score": verdict.score,
        "reason": verdict.reason,
    }
