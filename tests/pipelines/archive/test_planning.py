"""A plan names what would meet a deadline, from predictions that are given here."""

from pathlib import Path
from typing import Any

import pytest

from longllava_domains.archive import Job, Manifest, Prediction
from longllava_domains.archive.engines.worker import Items
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.archive import ArchiveTask, planning
from longllava_domains.pipelines.archive.planning import coarser, hours_of, plan_run


@pytest.mark.parametrize(("bottleneck", "workers"), [("score", 6), ("disk", None)])
def test_a_missed_deadline_names_the_policies_and_the_workers_that_meet_it(
    bottleneck: str, workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predicted(job: Job, items: Items, **how: Any) -> Prediction:
        """Take 40 h for a slice every 20 mm, and less for fewer slices."""
        hours = 40 * 20 / job.spec.policy["spacing_mm"]
        return Prediction(9, how["sample"], {"done": 1.0}, hours, 1.0, 1.0, {}, bottleneck)

    monkeypatch.setattr(planning, "predict", predicted)
    asked = ArchiveTask("views", None, settings={"spacing_mm": 20.0}, output=tmp_path / "results")
    manifest = Manifest(tmp_path / "none.parquet")
    plan = plan_run(asked, manifest, "ct", sample=50, workers=2, deadline_hours=14)
    assert {name: each.sampled for name, each in plan.in_time.items()} == {
        "--every-mm 60": 10, "--every-mm 80": 10
    }  # fmt: skip
    assert list(plan.in_time) == ["--every-mm 60", "--every-mm 80"]
    assert plan.workers == workers
    met = plan_run(asked, manifest, "ct", sample=50, workers=2, deadline_hours=40)
    assert (met.in_time, met.workers) == ({}, 2)


def test_coarser_policies_show_less_of_each_item(tmp_path: Path) -> None:
    sheets = ArchiveTask("views", None, settings={"spacing_mm": 20.0}, output=tmp_path)
    assert list(coarser(sheets, "ct"))[:2] == ["--every-mm 30", "--every-mm 40"]
    scenes = ArchiveTask("ask", "demo", question="?", settings={"max_tokens": 3000})
    assert list(coarser(scenes, "remote_sensing"))[1] == "--max-tokens 1500"
    slides_asked = ArchiveTask("ask", "demo", question="?", settings={"max_views": 3})
    assert list(coarser(slides_asked, "pathology"))[-1] == "--most 2"
    searched = ArchiveTask("find", "demo", question="ship", output=tmp_path)
    assert coarser(searched, "remote_sensing") == {}


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("90m", 1.5), ("2d", 48)])
def test_deadlines_are_read(text: str, hours: float) -> None:
    assert hours_of(text) == hours


@pytest.mark.parametrize("text", ["", "12", "0h", "h12", "-1h"])
def test_a_deadline_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        hours_of(text)
