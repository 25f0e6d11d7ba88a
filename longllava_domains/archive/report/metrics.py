"""A metrics file in the Prometheus text format, for node_exporter's textfile collector."""

from pathlib import Path

from longllava_domains.archive.engines.settings import Progress
from longllava_domains.archive.outcome import STATUSES
from longllava_domains.archive.results.parts import place_whole, writing
from longllava_domains.arguments import checked


def metrics_text(progress: Progress, task: str) -> str:
    """Return the metrics of a run; a label value is a task or a status, never an item."""
    own = f'task="{_escaped(task)}"'
    lines = ["# HELP longllava_archive_items Items by outcome.",
             "# TYPE longllava_archive_items gauge"]  # fmt: skip
    for status in (*STATUSES, "leased"):
        count = progress.counts.get(status, 0)
        lines.append(f'longllava_archive_items{{{own},status="{status}"}} {count}')
    gauges: tuple[tuple[str, str, float], ...] = (
        ("total_items", "Items of this share of the manifest.", progress.total),
        ("items_per_hour", "Rate of this run.", progress.items_per_hour),
        ("run_seconds", "Time since this run began.", progress.seconds),
        (
            "seconds_left",
            "Time left at this rate; NaN before the first item.",
            float("nan") if progress.seconds_left is None else progress.seconds_left,
        ),
    )
    for name, meaning, value in gauges:
        full = f"longllava_archive_{name}"
        lines += [
            f"# HELP {full} {meaning}",
            f"# TYPE {full} gauge",
            f"{full}{{{own}}} {_number(value)}",
        ]
    return "\n".join(lines) + "\n"


@checked
def write_metrics(path: Path, progress: Progress, task: str) -> None:
    """Write the metrics file; a reader sees the old one or the new one, whole.

    Raises:
        OutputError: It cannot be written.
    """
    with writing():
        place_whole(path, memoryview(metrics_text(progress, task).encode()))


def _number(value: float) -> str:
    return "NaN" if value != value else f"{value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
