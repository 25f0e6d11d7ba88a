"""From the judgement of each question to a result: a metric is the mean over its questions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from longllava_domains.evaluate.medical_vqa.questions import Question, Questions
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Result
from longllava_domains.evaluate.statistic import defined, mean_statistic


@dataclass(frozen=True)
class Judgement:
    """Judgement of a protocol on one answer.

    Attributes:
        scores: Metric -> 0 to 1, only of metrics that count this question, the one that says
            whether it was right first; empty leaves the question out of the score.
        why: The reason in a few words.
        read_as: The answer as the protocol reads it.
    """

    scores: Mapping[str, float]
    why: str
    read_as: str = ""


Judge = Callable[[Question], Judgement]


def judge_all(
    questions: Questions,
    judge: Judge,
    protocol: Protocol,
    headline: tuple[str, ...],
    *,
    notes: tuple[str, ...] = (),
) -> Result:
    """Judge every question and average.

    Args:
        questions: All of a benchmark.
        judge: The protocol's rule for one.
        protocol: Name and version.
        headline: Metrics to show first, where there are any questions for them.
        notes: Sentences for the card.

    Raises:
        InputError: The protocol scores none of the questions.
    """
    judged = [(question, _judged(judge, question)) for question in questions.rows]
    counted = [(question, found) for question, found in judged if found.scores]
    names = dict.fromkeys(name for _, found in counted for name in found.scores)
    statistics = defined(
        (
            name,
            mean_statistic(
                np.array([found.scores.get(name, 0.0) for _, found in counted]),
                np.array([name in found.scores for _, found in counted]),
            ),
        )
        for name in names
    )
    return Result(
        benchmark=protocol.benchmark,
        protocol=protocol.label,
        metrics={name: found.value for name, found in statistics.items()},
        headline=tuple(name for name in headline if name in statistics),
        counts=questions.counts.leaving(len(judged) - len(counted)),
        settings={"build": questions.build, "closed": questions.closed},
        rows=[
            {
                "id": question.id,
                "image": question.image,
                "closed": question.closed,
                "truth": question.truth,
                "answer": question.answer,
                "read_as": found.read_as,
                "score": next(iter(found.scores.values())),
                "why": found.why,
            }
            for question, found in counted
        ],
        statistics=statistics,
        cluster="image" if all(q.image is not None for q in questions.rows) else None,
        notes=questions.notes + notes,
    )


def _judged(judge: Judge, question: Question) -> Judgement:
    """Judge an answer; one that is missing and counted wrong scores 0 in all its metrics."""
    found = judge(question)
    if question.answer is not None:
        return found
    return Judgement(dict.fromkeys(found.scores, 0.0), "missing")
