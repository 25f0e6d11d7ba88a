"""One card for a run: the result under its own protocol, and beside it every other protocol."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longllava_domains.evaluate.bootstrap import main_metric
from longllava_domains.evaluate.card import html_card
from longllava_domains.evaluate.predictions.inputs import PROMPT_MISMATCH
from longllava_domains.evaluate.result import Result, suffix_error
from longllava_domains.evaluate.visual import NOT_VISUAL, scored_under
from longllava_domains.files import write_text
from longllava_domains.html import Html, bar_plot, element, table


def save_board(
    card: Result, results: Mapping[str, Result], path: str | Path, *, overwrite: bool = False
) -> None:
    """Write the card of a run as ``.html``, ``.md`` or ``.json``, whole or not at all.

    Args:
        card: The result of the protocol that the run is about.
        results: Protocol -> result of the same answers, or of the answers in its own words.
        path: Where the file goes; its suffix names the format.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """
    shown = card.with_notes(scored_under(results)) if len(results) > 1 else card
    suffix = Path(path).suffix.lower()
    if suffix == ".html":
        text = html_card(shown, more=_section(results))
    elif suffix == ".md":
        text = shown.to_markdown() + _markdown(results)
    elif suffix == ".json":
        every = {name: result.to_json() for name, result in results.items()}
        whole: dict[str, Any] = {**shown.to_json(), "every_protocol": every}
        text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    else:
        raise suffix_error("A card", (".html", ".md", ".json"))
    write_text(path, text, overwrite=overwrite)


def board_head(results: Mapping[str, Result]) -> tuple[str, ...]:
    """Return the heads of `board_lines`."""
    return ("protocol", "metric", "value", "interval", *_controls(results), "visual?", "asked so?")


def board_lines(results: Mapping[str, Result]) -> list[tuple[str, ...]]:
    """Return a line for each headline metric of each protocol, as `board_head` names its cells."""
    lines = []
    for result in results.values():
        asked = [note for note in result.notes if note.startswith(PROMPT_MISMATCH)]
        for metric in result.headline or tuple(result.metrics)[:1]:
            found = result.intervals.get(metric)
            interval = "" if found is None else f"{found.low:.4f} to {found.high:.4f}"
            others = [result.beside.get(name) for name in _controls(results)]
            beside = [
                "" if each is None or metric not in each.metrics else f"{each.metrics[metric]:.4f}"
                for each in others
            ]
            lines.append(
                (result.protocol, metric, f"{result.metrics[metric]:.4f}", interval, *beside,
                 _verdict(result, metric), "no" if asked else "yes")
            )  # fmt: skip
    return lines


def _controls(results: Mapping[str, Result]) -> tuple[str, ...]:
    """Return the names of what stands beside any result, the runs of the model first."""
    names = dict.fromkeys(name for result in results.values() for name in result.beside)
    runs = [name for name in ("blind", "shuffled") if name in names]
    return (*runs, *(name for name in names if name not in runs))


def _verdict(result: Result, metric: str) -> str:
    """Say in a word or two whether a score is above that of the runs without the right image."""
    if "blind" not in result.beside:
        return "not known"
    if metric not in result.statistics:
        return ""
    own = [contrast for contrast in result.contrasts if contrast.metric == metric]
    if not own:
        return "not known"
    return "visual" if all(contrast.is_visual for contrast in own) else NOT_VISUAL


def _section(results: Mapping[str, Result]) -> tuple[Html, ...]:
    if len(results) < 2:
        return ()
    plotted = []
    for result in results.values():
        name = main_metric(result)
        found = result.intervals.get(name)
        ends = None if found is None else (found.low, found.high)
        plotted.append((f"{result.protocol.partition('@')[0]}: {name}", result.metrics[name], ends))
    names, values, intervals = zip(*plotted, strict=True)
    return (
        element("h2", "Every protocol"),
        element("p", scored_under(results), class_="note"),
        bar_plot(names, values, intervals, "The first metric of each protocol"),
        table(board_head(results), board_lines(results)),
    )


def _markdown(results: Mapping[str, Result]) -> str:
    if len(results) < 2:
        return ""
    head = board_head(results)
    cells = [head, ("---",) * len(head), *board_lines(results)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    return f"\n## Every protocol\n\n{lines}\n"
