"""Scores of questions about slides, with and without the answers that cannot be read."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.medical_vqa.llava_med import normalise, overlap
from longllava_domains.evaluate.multilabel import divide
from longllava_domains.evaluate.predictions import Matching, Source
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Cell, Result
from longllava_domains.evaluate.slides.questions import (
    SlideQuestion,
    baseline_choices,
    read_choice,
    read_grade,
    read_slide_questions,
)
from longllava_domains.evaluate.statistic import Floats, Statistic, defined, mean_statistic

POLICIES: Final = ("wrong", "drop")


def score_slides(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    parse_failures: str = "wrong",
) -> Result:
    """Score choices by accuracy or balanced accuracy for each task, open questions by recall.

    Args:
        predictions: Answers.
        references: Questions and true answers.
        protocol: Name and version.
        how: Choices about missing answers.
        parse_failures: What an answer that names no option counts in the headline: ``"wrong"``, or
            left out (``"drop"``). Metrics that end in ``_parsed`` leave it out in any case.

    Raises:
        PolicyError: An unknown policy.
    """
    if parse_failures not in POLICIES:
        raise PolicyError(
            f"parse_failures cannot be {parse_failures!r}.",
            remedy=f"Choose one of {', '.join(POLICIES)}.",
            code="slides.parse_failures",
        )
    questions = read_slide_questions(predictions, references, how)
    scorable = [q for q in questions.rows if q.truth is not None or not q.options]
    read = [_read(question) for question in scorable]
    both = list(zip(scorable, read, strict=True))
    parsed = np.array([value is not None or q.truth is None for q, value in both], bool)
    scores = np.array([_score(q, value) for q, value in both], np.float64)
    failures = int((~parsed).sum())
    found = _statistics(scorable, scores, parsed, drop=parse_failures == "drop")
    notes = (f"{failures} of {len(scorable)} answers name no option or grade",) if failures else ()
    main = [name for name in found if not name.endswith("_parsed")]
    return Result(
        benchmark=protocol.benchmark,
        protocol=protocol.label,
        metrics={name: statistic.value for name, statistic in found.items()},
        headline=tuple(main),
        counts=questions.counts.leaving(len(questions.rows) - len(scorable)),
        settings={"answers_not_read": failures},
        rows=_rows(scorable, read, scores),
        statistics=found,
        cluster="slide",
        notes=questions.notes + notes,
    )


def _read(question: SlideQuestion) -> int | None:
    if question.truth is None or question.answer is None:
        return None
    if question.options:
        return read_choice(question.answer, question.options)
    return read_grade(question.answer)


def _score(question: SlideQuestion, read: int | None) -> float:
    if question.truth is not None:
        return float(read == question.truth)
    if question.answer is None:
        return 0.0
    return overlap(
        normalise(question.answer.lower()), normalise(question.truth_text.lower())
    ).recall


def _statistics(
    questions: Sequence[SlideQuestion], scores: Floats, parsed: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *, drop: bool,
) -> dict[str, Statistic]:  # fmt: skip
    """Return each task's metric, once as chosen and once without answers that cannot be read."""
    choices = np.array([q.truth is not None for q in questions], bool)
    found: list[tuple[str, Statistic]] = []
    for task in dict.fromkeys(question.task for question in questions):
        inside = np.array([question.task == task for question in questions], bool)
        for ending, counted in (
            ("", parsed if drop else np.ones_like(parsed)),
            ("_parsed", parsed),
        ):
            asked = inside & choices & counted
            truths = [q.truth if kept else None for q, kept in zip(questions, asked, strict=True)]
            if any(q.balanced for q in questions if q.task == task):
                found.append((f"{task}/balanced_accuracy{ending}", _balanced(truths, scores)))
            found.append((f"{task}/accuracy{ending}", mean_statistic(scores, asked)))
        found.append((f"{task}/open_recall", mean_statistic(scores, inside & ~choices)))
    for ending, counted in (("", parsed if drop else np.ones_like(parsed)), ("_parsed", parsed)):
        found.append((f"accuracy{ending}", mean_statistic(scores, choices & counted)))
    return defined(found)


def _balanced(truths: Sequence[int | None], scores: Floats) -> Statistic:
    """Return the mean of the recalls of the classes that occur; None leaves a row out."""
    classes = sorted({truth for truth in truths if truth is not None})
    members = np.array([[truth == each for each in classes] for truth in truths], np.float64)
    members = members.reshape(len(truths), len(classes))
    split = len(classes)

    def combine(sums: Floats) -> Floats:
        """Return balanced accuracy from the sums of hits and of members of each class."""
        sizes = sums[..., split:]
        recalls = divide(sums[..., :split], sizes)
        present = (sizes > 0).sum(axis=-1)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(
                present > 0, recalls.sum(axis=-1) / np.maximum(present, 1), np.nan
            )
        return mean

    return Statistic(np.concatenate([members * scores[:, None], members], axis=1), combine)


def _rows(
    questions: Sequence[SlideQuestion], read: Sequence[int | None], scores: Floats
) -> list[dict[str, Cell]]:
    return [
        {
            "id": question.id,
            "slide": question.slide,
            "task": question.task,
            "truth": question.truth_text,
            "answer": question.answer,
            "read_as": _spelled(question, value),
            "score": float(score),
            "why": _why(question, value),
        }
        for question, value, score in zip(questions, read, scores, strict=True)
    ]


def _spelled(question: SlideQuestion, value: int | None) -> str:
    if value is None:
        return ""
    return question.options[value] if question.options else str(value)


def _why(question: SlideQuestion, value: int | None) -> str:
    if question.answer is None:
        return "missing"
    if question.truth is None:
        return "share of the reference's words that were said"
    if value is None:
        return "names no option" if question.options else "names no single number"
    return "the true one" if value == question.truth else "another one"


_PROMPT: Final = {
    "choice": "{question}\n{options}\nPlease choose the number of the correct option."
}

PROTOCOLS: Final = (
    Protocol(
        "multipathqa", "giant", "2511.19652",
        "Balanced accuracy for diagnosis, organ and grade, accuracy for the rest (GIANT paper)",
        score_slides, _PROMPT, baselines=baseline_choices,
    ),
    Protocol(
        "slidebench", "slidechat", "2410.11761",
        "Accuracy for each broad category and over all (SlideChat paper)",
        score_slides,
        {"choice": "{question}\n{options}\nAnswer with the option's letter from the given choices directly."},
        baselines=baseline_choices,
    ),
)  # fmt: skip
