"""The report's figures are those of the rows, and metrics are read by Prometheus' rules."""

import re
from pathlib import Path

import archive_stub as stub
import numpy as np
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Progress, Settings
from longllava_domains.archive.fingerprint import ScoringSpec
from longllava_domains.archive.report.markdown import report_markdown
from longllava_domains.archive.report.metrics import metrics_text, write_metrics
from longllava_domains.archive.report.summary import RunSummary, drift, summarize
from longllava_domains.archive.scorer import Job
from longllava_domains.errors import NotFoundError


@pytest.fixture
def output(tmp_path: Path) -> Path:
    run_local(stub.job(), stub.Items(60, ((1, "raise"),)), Settings(tmp_path, part_rows=13))
    return tmp_path


def test_figures_are_those_of_the_rows(output: Path) -> None:
    rows = stub.rows(output)
    summary = summarize(output)
    assert summary.items == len(rows) == 60
    assert summary.outcomes == {"done": 50, "refused": 9, "failed": 1}
    assert summary.codes == {"stub.cut": 9, "failed.ZeroDivisionError": 1}
    assert summary.tried_again == 1
    assert summary.bytes == sum(range(60))
    margins = [
        finding["yes_logit_margin"]
        for row in rows
        for finding in row["findings"]
        if finding["label"] == "Nodule"
    ]
    nodule = summary.labels["Nodule"]
    assert nodule.positive == sum(margin > 0 for margin in margins)
    assert nodule.mean_margin == pytest.approx(np.mean(margins))
    assert nodule.mean_probability is not None
    assert summary.labels["Effusion"].mean_probability is None
    assert summary.stages["vision"].total == pytest.approx(0.050)


def test_the_report_names_outcomes_codes_labels_and_stages(output: Path) -> None:
    text = report_markdown(summarize(output))
    for line in (
        "| done | 50 | 83.3% |",
        "| stub.cut | 9 |",
        "Items that took more than one attempt: 1.",
        "For research use only.",
        "## Time for an item",
    ):
        assert line in text
    assert "Change since" not in text
    assert not any(row["item_id"] in text for row in stub.rows(output))


def test_a_run_compared_with_itself_has_not_drifted(output: Path) -> None:
    summary = summarize(output)
    changes = drift(summary, summary)
    assert set(changes) == {"Nodule", "Effusion"}
    assert all(each.standard_errors == 0 and not each.is_notable for each in changes.values())


def test_a_label_that_vanishes_is_notable(output: Path) -> None:
    summary = summarize(output)
    nodule = summary.labels["Nodule"]
    gone = type(nodule)(nodule.items, 0, -9.0, None)
    now = RunSummary(**{**vars(summary), "labels": {"Nodule": gone}})
    change = drift(now, summary)["Nodule"]
    assert change.is_notable
    assert change.standard_errors < 0
    assert "look at this" in report_markdown(now, drift(now, summary))


def test_of_several_specs_one_has_to_be_named(output: Path) -> None:
    other = ScoringSpec("stub", "other")
    run_local(Job(other, stub.prepare, stub.job().build), stub.Items(3), Settings(output))
    with pytest.raises(NotFoundError):
        summarize(output)
    assert summarize(output, other.key).items == 3


def test_metrics_follow_the_text_format(tmp_path: Path) -> None:
    progress = Progress({"done": 7, "failed": 1, "leased": 2}, 20, 4, 60.0)
    write_metrics(tmp_path / "metrics.prom", progress, "ct-findings")
    text = (tmp_path / "metrics.prom").read_text()
    sample = re.compile(r'[a-z_]+\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\} (NaN|[0-9.e+]+)\Z')
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(sample.match(line) for line in samples)
    assert 'longllava_archive_items{task="ct-findings",status="done"} 7' in samples
    assert 'longllava_archive_seconds_left{task="ct-findings"} 180' in samples
    assert "NaN" in metrics_text(Progress({}, 20, 0, 0.0), "ask")
