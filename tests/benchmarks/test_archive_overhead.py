"""The benchmark of an archive's overhead prints no figure of a run that was stopped early."""

import runpy
from pathlib import Path

import pytest

from longllava_domains.archive import Progress

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "archive_overhead.py"


def test_a_run_that_was_stopped_gives_no_figure() -> None:
    require_whole = runpy.run_path(str(SCRIPT))["require_whole"]
    require_whole(Progress({"done": 200}, 200, 200, 51.0), 200)
    with pytest.raises(SystemExit, match="stopped after 28 of 200 items"):
        require_whole(Progress({"done": 28, "leased": 0}, 200, 28, 7.1), 200)
