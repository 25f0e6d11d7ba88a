"""The report's page: right figures, sorted tables with links, nothing fetched, no name."""

import base64
import hashlib
import html
import re
from pathlib import Path

import archive_stub as stub
import numpy as np
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.item import Item
from longllava_domains.archive.report.rows import listed_rows
from longllava_domains.archive.report.summary import LabelFigures, RunSummary, drift, summarize
from longllava_domains.archive.report.webpage import report_page
from longllava_domains.archive.report.write import write_reports
from longllava_domains.archive.results.upkeep import forget_items
from longllava_domains.archive.scorer import Job, Scored
from longllava_domains.html import SORTING


class Talker:
    """Says what a page has to escape, and names a file."""

    def score(self, item: Item, prepared: str) -> Scored:
        """Return hostile text."""
        return Scored(text="<script>alert(1)</script>\x07", files=(f"items/a b&{item.bytes}.json",))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    run_local(stub.job(), stub.Items(60, ((1, "raise"),)), Settings(tmp_path, part_rows=13))
    return tmp_path


def cells(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0]
    body = section.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body)
    return [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
        for row in rows
    ]


def test_findings_are_listed_by_their_margin_and_failures_by_their_code(output: Path) -> None:
    write_reports(output)
    page = (output / "report.html").read_text()
    expected = sorted(
        (-finding["yes_logit_margin"], finding["label"], row["item_id"])
        for row in stub.rows(output)
        for finding in row["findings"]
    )
    listed = cells(page, "Findings")
    assert [row[0] for row in listed] == [label for _, label, _ in expected]
    assert [row[3] for row in listed] == [item for _, _, item in expected]
    undone = cells(page, "Not scored")
    assert sorted(row[1] for row in undone) == ["failed.ZeroDivisionError"] + ["stub.cut"] * 9
    assert "refused (9)" in page
    assert "stub.cut (9)" in page
    assert "Change since" not in page
    assert re.search(r"<title>\d+ items of [\d.e-]+ to", page)  # the histogram
    assert (output / "report.md").exists()


def test_only_our_script_may_run_and_nothing_is_fetched(output: Path) -> None:
    job = stub.job()
    run_local(
        Job(ScoringSpec("ask", "other"), job.prepare, Talker), stub.Items(3), Settings(output)
    )
    write_reports(output, ScoringSpec("ask", "other").key)
    page = (output / "report.html").read_text()
    digest = base64.b64encode(hashlib.sha256(SORTING.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in page
    assert page.count("<script") == 1
    assert f"<script>{SORTING}</script>" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x07" not in page
    assert 'href="items/a%20b%260.json"' in page
    assert not re.search(r"(src|href)=\"(https?:|//)", page)


def test_a_list_is_cut_and_says_so(output: Path) -> None:
    rows = listed_rows(output, stub.SPEC.key, 5)
    assert len(rows.findings) == len(rows.undone) == 5
    assert rows.undone_in_all == 10
    whole = listed_rows(output, stub.SPEC.key, 1000)
    assert whole.findings[:5] == rows.findings
    assert "The rest is in the parts" in report_page(summarize(output), rows)


def test_each_spec_has_a_report_and_forgetting_removes_them(output: Path) -> None:
    job = stub.job()
    run_local(
        Job(ScoringSpec("ask", "other"), job.prepare, Talker), stub.Items(3), Settings(output)
    )
    assert len(write_reports(output)) == 2
    assert len(list(output.glob("report-*.html"))) == 2
    forget_items(output, [stub.item(0).item_id])
    assert not list(output.glob("report*"))


def test_drift_is_drawn_and_marked(output: Path) -> None:
    summary = summarize(output)
    nodule = summary.labels["Nodule"]
    gone = {"Nodule": LabelFigures(nodule.items, 0, -9.0, None)}
    now = RunSummary(**{**vars(summary), "labels": gone})
    page = report_page(now, listed_rows(output, stub.SPEC.key, 9), drift(now, summary))
    assert cells(page, "Change since the earlier run")[0][-1] == "look at this"


def test_a_run_without_any_outcome_has_a_page(output: Path) -> None:
    summary = summarize(output)
    nothing = {"outcomes": {}, "codes": {}, "labels": {}, "stages": {}, "domains": {}}
    empty = {"item_seconds": np.empty(0), "memory": np.empty((0, 2))}
    bare = RunSummary(**{**vars(summary), **nothing, **empty})
    assert "Outcomes" in report_page(bare, listed_rows(output, stub.SPEC.key, 0))
