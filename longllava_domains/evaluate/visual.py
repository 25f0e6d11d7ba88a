"""Is it visual? A score beside constant answers, the oracle, and runs without the right image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.bootstrap import (
    DRAWS,
    can_be_drawn,
    difference,
    main_metric,
    with_intervals,
)
from longllava_domains.evaluate.datasets.dataset import Dataset
from longllava_domains.evaluate.dispatch import explain_settings, find_protocol, score
from longllava_domains.evaluate.predictions import Row, Source
from longllava_domains.evaluate.result import Contrast, Result

NOT_VISUAL: Final = "not visual"
"""How a note begins that says that the image may as well be absent."""


@checked
def baselines(
    benchmark: str, references: Source | Dataset, *, protocol: str, **settings: Any
) -> dict[str, Result]:
    """Score what needs no model: the true answers themselves, and the same answer everywhere.

    The oracle says how much a protocol lets a perfect model have, the constants how much it gives
    away.

    Args:
        benchmark: Name in `PROTOCOLS`.
        references: True answers.
        protocol: Name of the protocol.
        **settings: As for the score that they shall stand beside.

    Returns:
        ``"oracle"``, ``"always yes"`` and so on -> its result.

    Raises:
        PolicyError: The benchmark has no such answers.
    """
    chosen = find_protocol(benchmark, protocol)
    if chosen.baselines is None:
        raise PolicyError(
            f"There are no constant answers for {benchmark}.",
            remedy="Leave the baselines out.",
            code="evaluate.baselines",
        )
    truths = references.references if isinstance(references, Dataset) else references
    rows = chosen.baselines(truths)
    own = {name: value for name, value in settings.items() if name in explain_settings(chosen)}
    # What the user chose for the model's own file means nothing for rows that are made here.
    for name in ("missing", "duplicates", "match", "id_field", "answer_field"):
        own.pop(name, None)
    return {
        name: score(benchmark, made, _truths_for(made, references), protocol=protocol, **own)
        for name, made in rows.items()
    }


def _truths_for(made: Sequence[Row], references: Source | Dataset) -> Source | Dataset | None:
    """Return None for rows that hold their own truths, whose ids then need not tell them apart."""
    return None if all("ground_truth" in row for row in made) else references


@checked
def stand_beside(
    result: Result,
    others: Mapping[str, Result],
    *,
    metric: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Result:
    """Return a result with others beside it, labelled *not visual* where a blind run does as well.

    Args:
        result: The score of the model with its images.
        others: Name -> result; ``"blind"`` (no image) and ``"shuffled"`` (another image) are
            compared with the score by a paired bootstrap over images or patients.
        metric: That is compared, by default each of the headline that can be resampled.
        draws: Of the bootstrap.
        seed: Likewise.

    Raises:
        PolicyError: One of the others was scored under another protocol.
    """
    if any(each.protocol != result.protocol for each in others.values()):
        raise PolicyError(
            "A result of another protocol cannot stand beside this one.",
            remedy="Score all of them under one protocol.",
            code="evaluate.beside",
        )
    headline = [name for name in result.headline if name in result.statistics]
    chosen = [metric] if metric else headline or [main_metric(result)]
    notes, found = [], []
    for name in ("blind", "shuffled"):
        if name not in others or not can_be_drawn(result):
            why = f"no {name} run" if name not in others else "one image or patient only"
            notes.append(f"{why}: how much of the score is visual is not known")
            continue
        shared = [each for each in chosen if each in others[name].statistics]
        drawn = [difference(result, others[name], each, draws=draws, seed=seed) for each in shared]
        own = [Contrast(each.metric, name, each.value, each.interval) for each in drawn]
        failed = [contrast.metric for contrast in own if not contrast.is_visual]
        if failed:
            notes.append(f"{NOT_VISUAL}: {', '.join(failed)}: less {name}, not above 0")
        found += own
    return replace(
        result, beside={**result.beside, **others}, contrasts=(*result.contrasts, *found)
    ).with_notes(*notes)


def score_beside(
    benchmark: str,
    predictions: Source,
    references: Source | Dataset | None,
    controls: Mapping[str, Source],
    *,
    protocol: str,
    draws: int = DRAWS,
    seed: int = 0,
    **settings: Any,
) -> Result:
    """Score predictions and stand the result beside oracle, constants and runs without the image.

    Args:
        benchmark: Name in `PROTOCOLS`.
        predictions: As for `score`.
        references: As for `score`; None where the prediction rows hold the true answers.
        controls: ``"blind"`` and ``"shuffled"`` -> predictions of that run, as far as there are any.
        protocol: Name of the protocol.
        draws: Of the bootstrap; 0 for no intervals beside the values.
        seed: Of the draws.
        **settings: As for `score`.

    Raises:
        LongLlavaError: As `score`.
    """
    result = score(benchmark, predictions, references, protocol=protocol, **settings)
    if not can_be_drawn(result):
        result = result.with_notes("no intervals: all rows are of one image or patient")
    elif draws:
        result = with_intervals(result, draws=draws, seed=seed)
    beside: dict[str, Result] = {}
    if find_protocol(benchmark, protocol).baselines is not None:
        known = predictions if references is None else references
        beside |= baselines(benchmark, known, protocol=protocol, **settings)
    for name, rows in controls.items():
        beside[name] = score(benchmark, rows, references, protocol=protocol, **settings)
    if not beside:
        return result
    return stand_beside(result, beside, draws=draws or DRAWS, seed=seed)


def scored_under(results: Mapping[str, Result]) -> str:
    """Return the sentence that a card carries where one file was scored under several protocols."""
    names = ", ".join(results)
    return f"one file, {len(results)} protocols ({names}): choosing the best of them is no result"
