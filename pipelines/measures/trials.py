"""Trials with a known answer, asked once each, kept as they come, and counted by point of a curve."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import InputError, MemoryBudgetError
from longllava_domains.pipelines.journal import Journal
from longllava_domains.vision_language import VisionLanguageModel
from longllava_domains.visual import VisualSequence

_KIND: Final = "longllava-measure@1"
_Z: Final = 1.959964  # of 95 %

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trial:
    """One question with a known answer about a sequence.

    Attributes:
        name: What tells it from the others of a measure.
        point: Where on the curve or grid it counts, such as ``"frames 100, depth 0.4"``.
        show: Makes the sequence.
        question: What is asked.
        choices: Answers to choose from.
        truth: The right one.
    """

    name: str
    point: str
    show: Callable[[], VisualSequence]
    question: str
    choices: tuple[str, ...]
    truth: str


@dataclass(frozen=True)
class Share:
    """How many trials were right.

    Attributes:
        right: Trials that were.
        trials: All.
    """

    right: int
    trials: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.right / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Between which shares the true one lies, 95 % (Wilson 1927)."""
        n, share = self.trials, self.value
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        reach = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass
class Counted:
    """The trials of a measure, counted.

    Attributes:
        points: Point -> share of right choices with the views.
        blind: The same questions without views: what guessing gives.
        refused: Point -> why no trial of it could be run, such as memory.
    """

    points: dict[str, Share] = field(default_factory=dict)
    blind: dict[str, Share] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def run_trials(
    model: VisionLanguageModel,
    trials: Sequence[Trial],
    output: Path,
    key: Mapping[str, Any],
    *,
    on_progress: OnProgress | None = None,
) -> Counted:
    """Ask every trial that no earlier run has an answer to, and count.

    The choice with the largest mean log-probability a token is the answer.

    Args:
        model: Who is asked.
        trials: In the order of the curve.
        output: Folder for the answers.
        key: What the measure is, for the file of answers.
        on_progress: Called with (stage, done, total).

    Raises:
        OutputError: The folder holds another measure, or cannot be written.
    """
    made = model.provenance
    identity = {**key, "model_sha256": made.get("model_sha256"),
                "adapter_sha256": made.get("adapter_sha256"), "dtype": made.get("dtype")}  # fmt: skip
    counted = Counted()
    with Journal(
        output / "answers.jsonl", _KIND, identity, work="measure", code="measure.journal"
    ) as journal:
        known = {entry["trial"]: entry["choice"] for entry in journal.entries}
        for done, trial in enumerate(trials, 1):
            for name, sequence in (
                (trial.name, trial.show),
                (f"blind {_question_key(trial)}", None),
            ):
                if name in known:
                    continue
                try:
                    known[name] = _choose(model, None if sequence is None else sequence(), trial)
                except (MemoryBudgetError, InputError) as error:
                    counted.refused[trial.point] = error.code
                    continue
                journal.keep({"trial": name, "choice": known[name]})
            if on_progress is not None:
                on_progress("asking", done, len(trials))
    _count(trials, known, counted)
    return counted


def _choose(model: VisionLanguageModel, sequence: VisualSequence | None, trial: Trial) -> str:
    with model.open(sequence) as session:
        scores = session.score(trial.question, trial.choices)
    return max(scores, key=lambda score: score.mean_logprob).text


def _question_key(trial: Trial) -> str:
    text = json.dumps([trial.question, trial.choices])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _count(trials: Sequence[Trial], known: Mapping[str, str], counted: Counted) -> None:
    for name, keys in (
        ("points", lambda t: t.name),
        ("blind", lambda t: f"blind {_question_key(t)}"),
    ):
        right: dict[str, list[bool]] = {}
        for trial in trials:
            if keys(trial) in known:
                right.setdefault(trial.point, []).append(known[keys(trial)] == trial.truth)
        getattr(counted, name).update(
            {point: Share(sum(each), len(each)) for point, each in right.items()}
        )
