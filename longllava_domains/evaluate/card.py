"""A result as one self-contained HTML page, with plots where its rows allow them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from longllava_domains.arguments import checked
from longllava_domains.evaluate.result import Result, contrast_line, suffix_error
from longllava_domains.evaluate.roc import roc_curve
from longllava_domains.evaluate.statistic import Floats
from longllava_domains.files import write_text
from longllava_domains.html import Html, Line, bar_plot, element, line_plot, page, table

_SUFFIXES: Final = (".html", ".md", ".json")
_CLASS: Final = "class/"
_BINS: Final = 10
_SHOWN_ROWS: Final = 50
"""Rows on the page; all of them are in the file of rows."""


def require_card(path: str | Path) -> None:
    """Refuse a name that says no kind of card, before hours of bootstrap.

    Raises:
        OutputError: The suffix is another.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise suffix_error("A card", _SUFFIXES)


@checked
def save_card(result: Result, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the card of a result as ``.html``, ``.md`` or ``.json``, whole or not at all.

    Args:
        result: What is shown.
        path: Where the file goes; its suffix names the format.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".html":
        text = html_card(result)
    elif suffix == ".md":
        text = result.to_markdown()
    elif suffix == ".json":
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n"
    else:
        raise suffix_error("A card", _SUFFIXES)
    write_text(path, text, overwrite=overwrite)


def html_card(result: Result, more: Sequence[Html] = ()) -> str:
    """Return the card as a page.

    Args:
        result: With intervals and with results beside it, where they were made.
        more: What stands between the result and its details.
    """
    body = [
        element("p", f"{result.protocol}, {result.counts.scored:,} rows scored"),
        *_model(result),
        *(element("p", note, class_="note") for note in result.notes),
        _headline(result),
        *_beside(result),
        *more,
        *_per_class(result),
        *_curves(result),
        _folded("All metrics", table(("metric", "value"), list(result.metrics.items()))),
        element("h2", "Rows"),
        table(("rows", "count"), list(result.counts.to_json().items())),
        *_some_rows(result),
        element("h2", "Choices"),
        table(("setting", "value"), [(k, json.dumps(v)) for k, v in result.settings.items()]),
    ]
    return page(
        f"{result.benchmark}, {result.protocol.partition('@')[0]}", *body, notice=result.notice
    )


def _model(result: Result) -> Sequence[Html]:
    """Say who answered, where the result knows."""
    made = result.settings.get("model")
    if not made:
        return ()
    told = ", ".join(f"{name} {value}" for name, value in made.items() if name != "model")
    return (element("p", f"Model: {made.get('model', 'not named')} ({told})"),)


def _headline(result: Result) -> Html:
    names = result.headline or tuple(result.metrics)
    level = result.settings.get("bootstrap", {}).get("level")
    head = ("metric", "value", "interval" if level is None else f"{level:.0%} interval")
    return table(head, [(name, result.metrics[name], _interval(result, name)) for name in names])


def _interval(result: Result, name: str) -> str:
    found = result.intervals.get(name)
    return "" if found is None else f"{found.low:.4f} to {found.high:.4f}"


def _beside(result: Result) -> Sequence[Html]:
    if not result.beside:
        return ()
    names = result.headline
    rows = [("this result", *(result.metrics[name] for name in names))]
    rows += [(key, *(each.metrics.get(n) for n in names)) for key, each in result.beside.items()]
    parts = [element("h2", "Beside it"), table(("result", *names), rows)]
    if result.contrasts:
        lines = [contrast_line(contrast) for contrast in result.contrasts]
        head = ("is it visual?", "difference", "interval", "")
        parts.append(table(head, lines, "The score less that of a run without the right image"))
    return parts


def _per_class(result: Result) -> Sequence[Html]:
    """Bars for each class, where there are metrics of classes."""
    score = "f1" if "auroc" not in _kinds(result) else "auroc"
    names = [n for n in result.metrics if n.startswith(_CLASS) and n.endswith(f"/{score}")]
    if not names:
        return ()
    found = [result.intervals.get(name) for name in names]
    plot = bar_plot(
        [name.removeprefix(_CLASS).removesuffix(f"/{score}") for name in names],
        [result.metrics[name] for name in names],
        [None if each is None else (each.low, each.high) for each in found],
        f"{score} of each class",
    )
    return element("h2", "Each class"), plot


def _kinds(result: Result) -> set[str]:
    return {name.rsplit("/", 1)[-1] for name in result.metrics if name.startswith(_CLASS)}


def _curves(result: Result) -> Sequence[Html]:
    """ROC and calibration, where rows hold scores beside truths."""
    columns = (
        [name.removeprefix("score/") for name in result.rows[0] if name.startswith("score/")]
        if result.rows
        else []
    )
    lines, pooled_scores, pooled_truths = [], [], []
    for label in columns:
        scores = np.array([row[f"score/{label}"] for row in result.rows], np.float64)
        truth = np.array([row[f"truth/{label}"] for row in result.rows], bool)
        pooled_scores.append(scores)
        pooled_truths.append(truth)
        if truth.any() and not truth.all():
            fpr, tpr = roc_curve(truth, scores)
            keep = np.unique(np.linspace(0, len(fpr) - 1, 200).astype(int))
            lines.append(Line(label, fpr[keep].tolist(), tpr[keep].tolist()))
    if not columns:
        return ()
    curve = calibration_curve(np.concatenate(pooled_truths), np.concatenate(pooled_scores))
    plots = [
        line_plot([curve], "Calibration over all classes", "mean score", "share that is present")
    ]
    if lines:
        plots.insert(
            0, line_plot(lines, "ROC of each class", "false positive rate", "true positive rate")
        )
    return element("h2", "Curves"), *plots


def calibration_curve(truth: np.ndarray[tuple[int], np.dtype[np.bool_]], scores: Floats) -> Line:
    """Return the share of positives against the mean score in ten bins of equal width.

    Args:
        truth: (cases,).
        scores: (cases,), from 0 to 1.
    """
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    sizes = np.bincount(bins, minlength=_BINS)
    filled = sizes > 0
    mean = np.bincount(bins, scores, _BINS)[filled] / sizes[filled]
    share = np.bincount(bins, truth, _BINS)[filled] / sizes[filled]
    return Line("calibration", mean.tolist(), share.tolist())


def _some_rows(result: Result) -> Sequence[Html]:
    if not result.rows or "why" not in result.rows[0]:
        return ()
    names = [name for name in result.rows[0] if name not in ("image", "slide")]
    rows = [[row.get(name) for name in names] for row in result.rows[:_SHOWN_ROWS]]
    return (_folded(f"The first {len(rows)} rows, and why they score so", table(names, rows)),)


def _folded(title: str, inner: Html) -> Html:
    return element("details", element("summary", title), inner)
