"""Scene classification: one class (accuracy), or all classes that apply (micro P, R, F1)."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from longllava_domains.evaluate.fit_rsfg.complex.task_score import precision_recall_f1
from longllava_domains.evaluate.fit_rsfg.equality import plain_form
from longllava_domains.evaluate.fit_rsfg.rows import (
    ItemToScore,
    ProtocolName,
    ScoredRows,
    Verdict,
    f1,
)
from longllava_domains.evaluate.statistic import Floats, Statistic, defined, mean_statistic

SINGLE_ENDING: Final = "Answer in one word or a short phrase."
MULTI_ENDING: Final = "Answer with all applicable classes separated by commas."

Mode = Literal["single", "multi"]
NO_MODE: Final = "the prompt's ending says neither one class nor all classes"


def score_classification(items: Sequence[ItemToScore], protocol: ProtocolName) -> ScoredRows:
    """Score classes: ``single/accuracy``, and ``multi/P``, ``multi/R``, ``multi/F1``.

    The end of the prompt says which it is. Officially a prompt without either ending takes the
    kind of the row before it (and crashes on the first: left out here), and an empty answer is
    one wrong class. Strictly a truth with a comma is a list, spaces and punctuation at the ends
    make no difference, and an empty answer misses all classes and invents none.
    """
    modes = _modes_official(items) if protocol == "official" else [_mode(item) for item in items]
    verdicts: list[Verdict] = []
    counts = np.zeros((len(items), 3))
    for index, (item, mode) in enumerate(zip(items, modes, strict=True)):
        if mode is None:
            verdicts.append(Verdict(None, NO_MODE))
        elif mode == "single":
            verdicts.append(_single(item, protocol))
        else:
            said, meant = _classes(item.answer, protocol), _classes(item.truth, protocol)
            counts[index] = len(said & meant), len(said - meant), len(meant - said)
            verdicts.append(Verdict(f1(*counts[index]), "" if said else "the answer is empty"))
    statistics = _statistics(modes, verdicts, counts)
    metrics = {name: found.value for name, found in statistics.items()}
    return ScoredRows(metrics, verdicts, statistics)


def _statistics(
    modes: Sequence[Mode | None], verdicts: Sequence[Verdict], counts: Floats
) -> dict[str, Statistic]:
    single = [
        mode == "single" and verdict.score is not None
        for mode, verdict in zip(modes, verdicts, strict=True)
    ]
    scores = [verdict.score or 0.0 for verdict in verdicts]
    found = defined([("single/accuracy", mean_statistic(scores, single))])
    if "multi" in modes:
        found |= precision_recall_f1(counts, "multi/")
    return found


def _modes_official(items: Sequence[ItemToScore]) -> list[Mode | None]:
    modes: list[Mode | None] = []
    mode: Mode | None = None
    for item in items:
        mode = _ending(item) or mode
        modes.append(mode)
    return modes


def _mode(item: ItemToScore) -> Mode:
    return _ending(item) or ("multi" if "," in item.truth else "single")


def _ending(item: ItemToScore) -> Mode | None:
    if item.question.endswith(SINGLE_ENDING):
        return "single"
    return "multi" if item.question.endswith(MULTI_ENDING) else None


def _single(item: ItemToScore, protocol: ProtocolName) -> Verdict:
    if protocol == "official":
        return Verdict(float(item.answer.lower() == item.truth.lower()))
    said, meant = plain_form(item.answer), plain_form(item.truth)
    if not meant:
        return Verdict(None, "the truth is empty")
    return Verdict(float(said == meant), "" if said else "the answer is empty")


def _classes(text: str, protocol: ProtocolName) -> set[str]:
    if protocol == "official":
        return {part.strip() for part in text.lower().split(",")}
    return {plain_form(part) for part in text.split(",")} - {""}
