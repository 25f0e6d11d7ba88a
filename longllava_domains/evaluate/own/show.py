"""The card of a site's own labels: a table for each finding, bars by group, calibration."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from longllava_domains.evaluate.own.figures import Cell
from longllava_domains.evaluate.own.score import WHOLE, OwnResult
from longllava_domains.evaluate.result import suffix_error
from longllava_domains.files import write_text
from longllava_domains.html import Html, Line, bar_plot, element, line_plot, page, table
from longllava_domains.provenance import RESEARCH_NOTICE

HIDDEN: Final = "too few"
_SHOWN: Final = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "calibration_error": "calibration error",
    "brier": "Brier",
}
_TITLE: Final = "A model on this site's own labels"


def save_own_card(result: OwnResult, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the card as ``.html``, ``.md`` or ``.json``, whole or not at all.

    Args:
        result: What is shown.
        path: Where the file goes; its suffix names the format.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".html":
        text = _page(result)
    elif suffix == ".md":
        text = own_markdown(result)
    elif suffix == ".json":
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n"
    else:
        raise suffix_error("A card", (".html", ".md", ".json"))
    write_text(path, text, overwrite=overwrite)


def own_lines(result: OwnResult, label: str) -> list[tuple[str, ...]]:
    """Return a line for each group of a finding: group, patients with and without, figures."""
    names = own_figures(result)
    return [
        (
            way if way == WHOLE else f"{way}: {group}",
            HIDDEN if cell.patients is None else f"{cell.patients[0]} / {cell.patients[1]}",
            *(_spelled(cell, name) for name in names),
        )
        for way, groups in result.cells[label].items()
        for group, cell in groups.items()
    ]


def own_head(result: OwnResult) -> tuple[str, ...]:
    """Return the heads of `own_lines`."""
    return ("group", "patients with / without", *(_SHOWN[name] for name in own_figures(result)))


def own_figures(result: OwnResult) -> list[str]:
    """Return the names of the figures that any cell has."""
    cells = [
        c for ways in result.cells.values() for groups in ways.values() for c in groups.values()
    ]
    return [name for name in _SHOWN if any(name in cell.figures for cell in cells)]


def own_markdown(result: OwnResult) -> str:
    """Return the card as Markdown."""
    parts = [f"# {_TITLE}", *(f"> {note}" for note in result.notes)]
    head = own_head(result)
    for label in result.cells:
        cells = [head, ("---",) * len(head), *own_lines(result, label)]
        rows = "\n".join(f"| {' | '.join(row)} |" for row in cells)
        parts += [f"## {label}", rows]
    counts = "\n".join(f"- {name}: {count:,}" for name, count in result.counts.items())
    return "\n\n".join([*parts, "## Scans", counts, RESEARCH_NOTICE]) + "\n"


def _page(result: OwnResult) -> str:
    body: list[Html] = [element("p", note, class_="note") for note in result.notes]
    level = result.settings["level"]
    body.append(element("p", f"Intervals of {level:.0%}; figures on fewer than "
                             f"{result.settings['smallest']} patients are not shown."))  # fmt: skip
    for label in result.cells:
        body += [
            element("h2", label),
            table(own_head(result), own_lines(result, label)),
            *_bars(result, label),
            *_curve(result, label),
        ]
    body += [element("h2", "Scans"), table(("scans", "count"), list(result.counts.items()))]
    chosen = [(name, json.dumps(value)) for name, value in result.settings.items()]
    body += [element("h2", "Choices"), table(("setting", "value"), chosen)]
    return page(_TITLE, *body)


def _bars(result: OwnResult, label: str) -> Sequence[Html]:
    names, values, ends = [], [], []
    for way, groups in result.cells[label].items():
        for group, cell in groups.items():
            found = cell.figures.get("sensitivity")
            if found is not None:
                names.append(way if way == WHOLE else f"{way}: {group}")
                values.append(found.value)
                ends.append((found.interval.low, found.interval.high))
    if len(names) < 2:
        return ()
    return (bar_plot(names, values, ends, f"Sensitivity for {label} by group"),)


def _curve(result: OwnResult, label: str) -> Sequence[Html]:
    if label not in result.curves:
        return ()
    mean, share = result.curves[label]
    line = Line("calibration", mean, share)
    return (line_plot([line], f"Calibration: {label}", "mean probability", "share present"),)


def _spelled(cell: Cell, name: str) -> str:
    found = cell.figures.get(name)
    if found is None:
        return HIDDEN
    return f"{found.value:.3f} ({found.interval.low:.3f} to {found.interval.high:.3f})"
