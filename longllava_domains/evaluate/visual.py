"""Is it visual? A score beside constant answers, the oracle, and runs without the right image."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.bootstrap import DRAWS, difference, main_metric
from longllava_domains.evaluate.datasets.dataset import Dataset
from longllava_domains.evaluate.dispatch import explain_settings, find_protocol, score
from longllava_domains.evaluate.predictions import Source
from longllava_domains.evaluate.result import Result

NOT_VISUAL: Final = "not visual"
"""How a note begins that says that the image may as well be absent."""


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
        name: score(benchmark, made, references, protocol=protocol, **own)
        for name, made in rows.items()
    }


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
        metric: That decides, by default the first of the headline that can be resampled.
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
    chosen = metric or main_metric(result)
    notes = []
    for name in ("blind", "shuffled"):
        if name not in others:
            notes.append(f"no {name} run: how much of the score is visual is not known")
            continue
        found = difference(result, others[name], chosen, draws=draws, seed=seed)
        low, high = found.interval.low, found.interval.high
        line = f"{chosen} less {name}: {found.value:+.4f} ({low:+.4f} to {high:+.4f})"
        notes.append(f"{NOT_VISUAL}: {line} includes 0" if found.interval.low <= 0 else line)
    return replace(result, beside={**result.beside, **others}).with_notes(*notes)


def scored_under(results: Mapping[str, Result]) -> str:
    """Return the sentence that a card carries where one file was scored under several protocols."""
    names = ", ".join(results)
    return f"one file, {len(results)} protocols ({names}): choosing the best of them is no result"
