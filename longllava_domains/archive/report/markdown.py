"""The run report in Markdown: what a reader wants to know the morning after."""

from collections.abc import Iterable, Mapping, Sequence

from longllava_domains.archive.outcome import STATUSES
from longllava_domains.archive.report.summary import LabelDrift, RunSummary
from longllava_domains.arguments import checked
from longllava_domains.provenance import RESEARCH_NOTICE
from longllava_domains.units import human_bytes

DEMO = "The demonstration model answered: these results mean nothing."
PSEUDONYMS = (
    "Items are named by keyed ids. They are pseudonyms, not anonymous: whoever holds the site "
    "secret and the archive can tie them to patients."
)


@checked
def report_markdown(summary: RunSummary, changes: Mapping[str, LabelDrift] | None = None) -> str:
    """Return the report.

    Args:
        summary: Figures of the run.
        changes: Drift of labels against an earlier run.
    """
    sections = [
        f"# Archive run: {summary.spec.task}",
        *([f"**{DEMO}**"] if summary.demo else []),
        f"{RESEARCH_NOTICE} {PSEUDONYMS}",
        _table(("what", "value"), about_rows(summary)),
        "## Outcomes",
        _table(
            ("outcome", "items", "share"),
            [
                (status, count, f"{count / max(1, summary.items):.1%}")
                for status in STATUSES
                if (count := summary.outcomes.get(status, 0))
            ],
        ),
        f"Items that took more than one attempt: {summary.tried_again}.",
        *_section("## Refusals and failures", ("code", "items"), summary.codes.items()),
        *_section("## Labels", *_labels(summary)),
        *_section("## Change since the earlier run", *_changes(changes or {})),
        *_section("## Time for an item", *_stages(summary)),
        f"Highest memory of a worker: {human_bytes(summary.peak_memory_bytes)}.",
    ]
    return "\n\n".join(sections) + "\n"


def about_rows(summary: RunSummary) -> list[tuple[str, str]]:
    """Return what was scored by what, as names and values."""
    spec = summary.spec
    domains = ", ".join(f"{count} {domain}" for domain, count in summary.domains.items())
    return [
        ("items", f"{summary.items} ({domains}), {human_bytes(summary.bytes)}"),
        ("model", spec.model),
        ("model SHA-256", spec.model_sha256 or "not recorded"),
        ("adapter SHA-256", spec.adapter_sha256 or "none"),
        ("prompt SHA-256", spec.prompt_sha256 or "not recorded"),
        ("spec", spec.key),
    ]


def _labels(summary: RunSummary) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    heads = ("label", "items", "positive", "prevalence", "mean margin", "mean probability")
    rows = [
        (
            label,
            each.items,
            each.positive,
            f"{each.prevalence:.1%}",
            f"{each.mean_margin:+.2f}",
            "not calibrated" if each.mean_probability is None else f"{each.mean_probability:.3f}",
        )
        for label, each in summary.labels.items()
    ]
    return heads, rows


def _changes(changes: Mapping[str, LabelDrift]) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    heads = ("label", "before", "now", "standard errors", "")
    rows = [
        (
            label,
            f"{each.before:.1%}",
            f"{each.now:.1%}",
            f"{each.standard_errors:+.1f}",
            "look at this" if each.is_notable else "",
        )
        for label, each in changes.items()
    ]
    return heads, rows


def _stages(summary: RunSummary) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    heads = ("stage", "items", "median s", "90 % s", "99 % s", "total h")
    rows = [
        (
            stage,
            each.items,
            f"{each.median:.2f}",
            f"{each.p90:.2f}",
            f"{each.p99:.2f}",
            f"{each.total / 3600:.2f}",
        )
        for stage, each in summary.stages.items()
    ]
    return heads, rows


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a titled table, or nothing where there are no rows."""
    table = list(rows)
    return [title, _table(heads, table)] if table else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
