"""Several CTs read together: each is seen by itself, then questions and drafts share their steps."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from longllava_domains.pipelines.ct.findings import score_findings_together
from longllava_domains.pipelines.ct.reading import CTReading, ShownCT
from longllava_domains.pipelines.ct.report import CTReport
from longllava_domains.pipelines.ct.result import Abnormality

if TYPE_CHECKING:
    from longllava_domains.model import Session

_Found = dict[str, Abnormality]


def read_together(
    report: CTReport, shown: Sequence[ShownCT], *, max_new_tokens: int | None = None
) -> list[CTReading]:
    """Read several CTs; what each comes to is what `CTReport.read` says of it alone.

    Margins agree to the accuracy stated for each dtype. All sessions are held at once.

    Args:
        report: A pipeline with a model of `load_model`.
        shown: What `shown_ct` returned for each.
        max_new_tokens: As for `CTReport.read`.

    Returns:
        One reading for each, in order; their times are equal shares of what all took.

    Raises:
        MemoryBudgetError: The views of all do not fit together in the memory that is free.
        ModelError: The model cannot run on them.
    """
    from longllava_domains.model import answer_many

    rules = report.rules
    times = [time.perf_counter()]
    with ExitStack() as stack:
        sessions = cast(
            "list[Session]",
            [stack.enter_context(report.model.open(each.sequence)) for each in shown],
        )
        times.append(time.perf_counter())
        found = _findings(report, sessions, shown)
        judged = [
            rules.judged(each, seen.sequence) for each, seen in zip(found, shown, strict=True)
        ]
        times.append(time.perf_counter())
        answers = answer_many(
            [
                (session, rules.prompt(*each))
                for session, each in zip(sessions, judged, strict=True)
            ],
            max_new_tokens=rules.longest() if max_new_tokens is None else max_new_tokens,
        )
        times.append(time.perf_counter())
    seconds = _shares(times, len(shown))
    return [
        rules.reading(seen, each, answer, outside, seconds)
        for seen, (each, outside), answer in zip(shown, judged, answers, strict=True)
    ]


def _findings(
    report: CTReport, sessions: Sequence["Session"], shown: Sequence[ShownCT]
) -> list[_Found]:
    """Return label -> finding for each; nothing where a CT is proved to show no chest."""
    found: list[_Found] = [{} for _ in shown]
    chests = [at for at, each in enumerate(shown) if each.evidence.is_chest]
    asked = [sessions[at] for at in chests]
    for same in score_findings_together(asked, report.preset, report.calibration):
        for at, finding in zip(chests, same, strict=True):
            found[at][finding.label] = finding
    return found


def _shares(times: Sequence[float], count: int) -> dict[str, float]:
    """Return stage -> share of one of `count`, from the times at which the stages began."""
    stages = zip(("prefill", "findings", "generation"), times[:-1], times[1:], strict=True)
    return {stage: (end - begin) / count for stage, begin, end in stages}
