"""Trials with a known answer, asked once each, kept as they come, and counted by point of a curve."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from longllava_domains.errors import InputError, MemoryBudgetError
from longllava_domains.pipelines.journal import Journal, read_journal
from longllava_domains.vision_language import VisionLanguageModel
from longllava_domains.visual import VisualSequence

_KIND: Final = "longllava-measure@1"
_WORK: Final = "measure"
_CODE: Final = "measure.journal"
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
    """Number of trials that were right.

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
    shard: tuple[int, int] = (0, 1),
    on_progress: OnProgress | None = None,
) -> Counted:
    """Ask every trial that no earlier run has an answer to, and count.

    The choice with the largest mean log-probability a token is the answer.

    Args:
        model: Who is asked.
        trials: In the order of the curve.
        output: Folder for the answers.
        key: What the measure is, for the file of answers.
        shard: (index, count): only this share of the trials is asked, and only those that have an
            answer are counted.
        on_progress: Called with (stage, done, total).

    Raises:
        OutputError: The folder holds another measure, or cannot be written.
    """
    made = model.provenance
    identity = {**key, "model_sha256": made.get("model_sha256"),
                "adapter_sha256": made.get("adapter_sha256"), "dtype": made.get("dtype")}  # fmt: skip
    counted, (index, count) = Counted(), shard
    known = _kept(output, identity)
    asked = [each for place, each in enumerate(_asked(trials)) if place % count == index]
    with Journal(output / _file(shard), _KIND, identity, work=_WORK, code=_CODE) as journal:
        for done, (name, trial, show) in enumerate(asked, 1):
            if name not in known:
                try:
                    known[name] = _choose(model, None if show is None else show(), trial)
                    journal.keep({"trial": name, "choice": known[name]})
                except (MemoryBudgetError, InputError) as error:
                    counted.refused[trial.point] = error.code
            if on_progress is not None:
                on_progress("asking", done, len(asked))
    _count(trials, known, counted)
    return counted


def _asked(
    trials: Sequence[Trial],
) -> Iterator[tuple[str, Trial, Callable[[], VisualSequence] | None]]:
    """Yield every trial with its views, and each of their questions once without."""
    blind = set()
    for trial in trials:
        yield trial.name, trial, trial.show
        name = f"blind {_question_key(trial)}"
        if name not in blind:
            blind.add(name)
            yield name, trial, None


def _file(shard: tuple[int, int]) -> str:
    index, count = shard
    return "answers.jsonl" if count == 1 else f"answers-{index}-of-{count}.jsonl"


def _kept(folder: Path, identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the choices that earlier runs kept, whatever their number of shards."""
    return {
        entry["trial"]: entry["choice"]
        for path in sorted(folder.glob("answers*.jsonl"))
        for entry in read_journal(path, _KIND, identity, work=_WORK, code=_CODE)
    }


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
