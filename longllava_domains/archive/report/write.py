"""Write the reports of a folder of results: Markdown to read, and a page to look at and sort."""

from pathlib import Path
from typing import Final

from longllava_domains.archive.report.markdown import report_markdown
from longllava_domains.archive.report.rows import listed_rows
from longllava_domains.archive.report.summary import drift, every_summary, summarize
from longllava_domains.archive.report.webpage import report_page
from longllava_domains.archive.results.parts import place_whole, writing
from longllava_domains.arguments import checked

# A page with more rows is slow to open; SQL over the parts has them all.
MOST_ROWS: Final = 2000


@checked
def write_reports(
    output: Path, spec_key: str | None = None, earlier: Path | None = None
) -> list[str]:
    """Write ``report.md`` and ``report.html``; with several specs, ``report-KEY.*`` for each.

    Args:
        output: Folder of the results.
        spec_key: Only this spec.
        earlier: Results of an earlier run to compare with; it has one spec.

    Returns:
        The text of each Markdown report.

    Raises:
        NotFoundError: There are no results, or none of that key.
        DamagedInputError: A part cannot be read.
        OutputError: A report cannot be written.
    """
    summaries = every_summary(output) if spec_key is None else [summarize(output, spec_key)]
    before = summarize(earlier) if earlier is not None else None
    texts = []
    for summary in summaries:
        changes = drift(summary, before) if before is not None else None
        name = "report" if len(summaries) == 1 else f"report-{summary.spec.key}"
        texts.append(report_markdown(summary, changes))
        rows = listed_rows(output, summary.spec.key, MOST_ROWS)
        for ending, text in (("md", texts[-1]), ("html", report_page(summary, rows, changes))):
            with writing():
                place_whole(output / f"{name}.{ending}", memoryview(text.encode()))
    return texts
