"""Cards of measures: a heat map of needles, a curve, a table of times."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from longllava_domains.files import write_text
from longllava_domains.html import Html, bar_plot, element, heat_map, page, table
from longllava_domains.pipelines.measures.trials import Counted
from longllava_domains.provenance import RESEARCH_NOTICE, Provenance

HEAD: Final = ("point", "right", "share", "95 % interval", "blind")


def share_lines(counted: Counted) -> list[tuple[str, str, str, str, str]]:
    """Return a line for each point, as `HEAD` names its cells."""
    lines = []
    for point, share in counted.points.items():
        low, high = share.interval
        blind = counted.blind.get(point)
        lines.append(
            (point, f"{share.right} of {share.trials}", f"{share.value:.3f}", f"{low:.3f} to {high:.3f}",
             "" if blind is None else f"{blind.value:.3f}")
        )  # fmt: skip
    lines += [(point, "not run", code, "", "") for point, code in counted.refused.items()]
    return lines


def save_measure(
    folder: Path,
    title: str,
    counted: Counted,
    made: Provenance,
    settings: Mapping[str, Any],
    *,
    grid: tuple[Sequence[str], Sequence[str], Sequence[Sequence[str]]] | None = None,
) -> list[Path]:
    """Write the card of a measure as HTML, Markdown and JSON.

    Args:
        folder: Where.
        title: What was measured.
        counted: The shares.
        made: Of the model.
        settings: Every choice.
        grid: Names of rows and columns, and the name of each cell's point, for a heat map.

    Raises:
        OutputError: A file cannot be written.
    """
    notes = [*made.get("notices", ()), "generated data: not comparable with a published curve"]
    if settings.get("data") != "generated":
        notes.pop()
    low = [point for point, share in counted.points.items()
           if (blind := counted.blind.get(point)) is not None and share.interval[0] <= blind.value]  # fmt: skip
    if low:
        notes.append(
            f"not visual: {len(low)} of {len(counted.points)} points are not above guessing"
        )
    content = {
        "title": title,
        "notes": [*dict.fromkeys(notes)],
        "model": {name: made.get(name) for name in ("model", "model_sha256", "dtype", "device", "demo")},
        "settings": dict(settings),
        "points": {
            point: {"right": s.right, "trials": s.trials, "share": s.value, "interval": s.interval}
            for point, s in counted.points.items()
        },
        "blind": {point: share.value for point, share in counted.blind.items()},
        "not_run": dict(counted.refused),
        "notice": RESEARCH_NOTICE,
    }  # fmt: skip
    parts: list[Html] = [element("p", note, class_="note") for note in content["notes"]]
    if grid is not None:
        rows, columns, names = grid
        values = [
            [counted.points[n].value if n in counted.points else None for n in row] for row in names
        ]
        parts.append(heat_map(rows, columns, values, f"{title}: share right"))
    elif counted.points:
        shares = list(counted.points.values())
        parts.append(
            bar_plot(
                list(counted.points), [s.value for s in shares], [s.interval for s in shares], title
            )
        )
    parts += [table(HEAD, share_lines(counted)), element("h2", "Choices"),
              table(("setting", "value"), [(k, json.dumps(v)) for k, v in settings.items()])]  # fmt: skip
    lines = [HEAD, ("---",) * len(HEAD), *share_lines(counted)]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told = "\n".join(f"> {note}" for note in content["notes"])
    texts = {
        "card.html": page(title, *parts),
        "card.md": f"# {title}\n\n{told}\n\n{markdown}\n\n{RESEARCH_NOTICE}\n",
        "card.json": json.dumps(content, indent=2) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text, overwrite=True)
    return [folder / name for name in texts]
