"""The run report as one page: plots to look at, and tables to sort. It fetches nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import numpy as np

from longllava_domains.archive.outcome import STATUSES
from longllava_domains.archive.report.markdown import DEMO, PSEUDONYMS, about_rows
from longllava_domains.archive.report.rows import ListedRows
from longllava_domains.archive.report.summary import LabelDrift, LabelFigures, RunSummary
from longllava_domains.html import (
    SORTING,
    Html,
    SortedCell,
    bar_plot,
    column_plot,
    element,
    page,
    sortable_table,
    table,
)
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.units import human_bytes

_BINS: Final = 24
_Z: Final = 1.96  # 95 %


def report_page(
    summary: RunSummary, rows: ListedRows, changes: Mapping[str, LabelDrift] | None = None
) -> str:
    """Return the report as HTML.

    Args:
        summary: Figures of the run.
        rows: Findings and items to list.
        changes: Drift of labels against an earlier run.
    """
    notices = [DEMO] if summary.demo else []
    body = [
        *(element("p", text, class_="note") for text in (*notices, RESEARCH_NOTICE, PSEUDONYMS)),
        table(("what", "value"), about_rows(summary)),
        *_outcomes(summary),
        *_labels(summary.labels),
        *_drift(changes or {}),
        *_latency(summary),
        *_memory(summary),
        *_findings(rows),
        *_done(rows),
        *_undone(rows),
    ]
    return page(f"Archive run: {summary.spec.task}", *body, script=SORTING)


def _outcomes(summary: RunSummary) -> list[Html]:
    total = max(1, summary.items)
    counts = {status: summary.outcomes.get(status, 0) for status in STATUSES}
    parts = [
        element("h2", "Outcomes"),
        bar_plot(
            [f"{status} ({count:,})" for status, count in counts.items()],
            [count / total for count in counts.values()],
            [None] * len(counts),
            "Share of items by outcome",
        ),
        element("p", f"Items that took more than one attempt: {summary.tried_again:,}."),
    ]
    if not summary.codes:
        return parts
    return [
        *parts,
        element("h2", "Refusals and failures"),
        bar_plot(
            [f"{code} ({count:,})" for code, count in summary.codes.items()],
            [count / total for count in summary.codes.values()],
            [None] * len(summary.codes),
            "Share of all items by code",
        ),
    ]


def _labels(labels: Mapping[str, LabelFigures]) -> list[Html]:
    if not labels:
        return []
    head = ("label", "items", "positive", "prevalence", "mean margin", "mean probability")
    rows = [
        (
            label, each.items, each.positive, f"{each.prevalence:.1%}", f"{each.mean_margin:+.2f}",
            "not calibrated" if each.mean_probability is None else f"{each.mean_probability:.3f}",
        )
        for label, each in labels.items()
    ]  # fmt: skip
    return [
        element("h2", "Labels"),
        bar_plot(
            list(labels),
            [each.prevalence for each in labels.values()],
            [_interval(each.positive, each.items) for each in labels.values()],
            "Share of items with a margin above 0, with 95 % intervals (Wilson)",
        ),
        table(head, rows),
    ]


def _interval(positive: int, items: int) -> tuple[float, float] | None:
    """Return Wilson's interval of a share."""
    if not items:
        return None
    share, square = positive / items, _Z**2 / items
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * float(np.sqrt(share * (1 - share) / items + square / items / 4))
    return max(0.0, middle - half), min(1.0, middle + half)


def _drift(changes: Mapping[str, LabelDrift]) -> list[Html]:
    if not changes:
        return []
    head = ("label", "before", "now", "standard errors", "")
    rows = [
        (
            label, f"{each.before:.1%}", f"{each.now:.1%}", f"{each.standard_errors:+.1f}",
            "look at this" if each.is_notable else "",
        )
        for label, each in changes.items()
    ]  # fmt: skip
    return [
        element("h2", "Change since the earlier run"),
        bar_plot(
            list(changes),
            [each.now for each in changes.values()],
            [(min(each.before, each.now), max(each.before, each.now)) for each in changes.values()],
            "Prevalence now; the line leads to what it was before",
        ),
        table(head, rows),
    ]


def _latency(summary: RunSummary) -> list[Html]:
    if not summary.stages:
        return []
    head = ("stage", "items", "median s", "90 % s", "99 % s", "total h")
    rows = [
        (
            stage, each.items, f"{each.median:.2f}", f"{each.p90:.2f}", f"{each.p99:.2f}",
            f"{each.total / 3600:.2f}",
        )
        for stage, each in summary.stages.items()
    ]  # fmt: skip
    return [element("h2", "Time for an item"), *_histogram(summary.item_seconds), table(head, rows)]


def _histogram(seconds: np.ndarray) -> list[Html]:
    shown = seconds[seconds > 0]
    if not len(shown):
        return []
    low, high = float(shown.min()), float(shown.max())
    edges = np.geomspace(low, max(high, low * 1.01), _BINS + 1)
    counts, _ = np.histogram(shown, edges)
    names = [f"{edge:.2g} s" if index % 6 == 0 else "" for index, edge in enumerate(edges[:-1])]
    told = [
        f"{count} items of {low:.3g} to {high:.3g} s"
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    title = "Items by their time to prepare and to score, on a logarithmic axis"
    most = told[int(np.argmax(counts))]
    return [column_plot(names, counts.tolist(), told, f"{title}. Highest: {most}")]


def _memory(summary: RunSummary) -> list[Html]:
    line = f"Highest memory of a worker: {human_bytes(summary.peak_memory_bytes)}."
    parts = [element("h2", "Memory"), element("p", line)]
    if not len(summary.memory):
        return parts
    times, peaks = summary.memory.T
    share = (times - times[0]) / max(1.0, times[-1] - times[0])
    bins = np.minimum((share * _BINS).astype(int), _BINS - 1)
    highest = [float(peaks[bins == at].max(initial=0.0)) for at in range(_BINS)]
    moments = times[0] + np.arange(_BINS) / _BINS * (times[-1] - times[0])
    clock = [datetime.fromtimestamp(moment, UTC).strftime("%H:%M") for moment in moments]
    names = [name if index % 6 == 0 else "" for index, name in enumerate(clock)]
    told = [
        f"{human_bytes(int(peak))} from {at} UTC" for peak, at in zip(highest, clock, strict=True)
    ]
    return [
        *parts,
        column_plot(names, highest, told, "Highest memory of workers so far, over the run"),
    ]


def _findings(rows: ListedRows) -> list[Html]:
    if not rows.findings:
        return []
    cells = [
        (
            row.label,
            SortedCell(f"{row.margin:+.3f}", row.margin, "number"),
            SortedCell("" if row.probability is None else f"{row.probability:.3f}", row.probability, "number"),
            SortedCell(row.item_id, row.item_id, "key"),
            SortedCell(row.study_key, row.study_key, "key"),
            _links(row.files),
        )
        for row in rows.findings
    ]  # fmt: skip
    head = ("label", "margin", "probability", "item", "study", "files")
    caption = _listed(len(cells), rows.findings_in_all, "findings, the highest margins")
    return [element("h2", "Findings"), sortable_table(head, cells, caption)]


def _done(rows: ListedRows) -> list[Html]:
    if not rows.done or (rows.findings and not any(row.files or row.text for row in rows.done)):
        return []
    names = sorted({name for row in rows.done for name in row.numbers})
    with_text = any(row.text for row in rows.done)
    cells: list[tuple[SortedCell | str, ...]] = [
        (
            SortedCell(row.item_id, row.item_id, "key"),
            row.domain,
            *([row.text] if with_text else []),
            *(_number(row.numbers.get(name)) for name in names),
            _links(row.files),
        )
        for row in rows.done
    ]
    head = ("item", "domain", *(["text"] if with_text else []), *names, "files")
    caption = _listed(len(cells), rows.done_in_all, "items that were scored, the first")
    return [element("h2", "Items"), sortable_table(head, cells, caption)]


def _undone(rows: ListedRows) -> list[Html]:
    if not rows.undone:
        return []
    cells = [
        (
            row.status,
            row.code,
            SortedCell(str(row.attempts), row.attempts, "number"),
            row.domain,
            SortedCell(row.item_id, row.item_id, "key"),
            SortedCell(row.study_key, row.study_key, "key"),
        )
        for row in rows.undone
    ]
    head = ("outcome", "code", "attempts", "domain", "item", "study")
    caption = _listed(len(cells), rows.undone_in_all, "items that were not scored, the first")
    return [element("h2", "Not scored"), sortable_table(head, cells, caption)]


def _listed(shown: int, total: int, what: str) -> str:
    if shown == total:
        return f"{total:,} {what.partition(',')[0]}: all of them."
    return f"Of {total:,} {what} {shown:,}. The rest is in the parts."


def _number(value: float | None) -> SortedCell:
    return SortedCell("" if value is None else f"{value:g}", value, "number")


def _links(files: Sequence[str]) -> SortedCell:
    links = [element("a", name.rsplit("/", 1)[-1], href=quote(name)) for name in files]
    spaced = [part for link in links for part in (link, " ")]
    return SortedCell(element("span", *spaced), len(files))
