"""Every example runs, and prints something a reader can use."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path: Path, capsys, monkeypatch, tmp_path: Path) -> None:
    arguments = [str(path), str(tmp_path)] if path.name.startswith("make_") else [str(path)]
    monkeypatch.setattr("sys.argv", arguments)
    runpy.run_path(str(path), run_name="__main__")
    assert len(capsys.readouterr().out.strip()) > 10
