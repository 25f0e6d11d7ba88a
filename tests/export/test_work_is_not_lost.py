"""Two runs with one output name, runs that were interrupted, and lines that were torn."""

import json
import logging
import os
from pathlib import Path

import pytest

from longllava_domains import files
from longllava_domains.errors import OutputError
from longllava_domains.files import new_file, write_text
from longllava_domains.pipelines.pacs.audit import Audit


def finish_second(target: Path) -> None:
    with new_file(target) as mine:
        mine.write_text("mine")
        target.write_text("theirs")  # another run was quicker


def test_of_two_runs_with_one_name_the_first_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refused:
        finish_second(tmp_path / "a.json")
    assert refused.value.code == "export.exists"
    assert (tmp_path / "a.json").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_without_hard_links_the_name_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError):
        finish_second(tmp_path / "a.json")
    write_text(tmp_path / "b.json", "new")
    assert (tmp_path / "b.json").read_text() == "new"


def test_unfinished_files_of_interrupted_runs_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, age_s in ((".part-old", 2 * files._INTERRUPTED_AFTER_S), (".part-now", 0)):
        (tmp_path / name).mkdir()
        then = (tmp_path / name).stat().st_mtime - age_s
        os.utime(tmp_path / name, (then, then))
    with caplog.at_level(logging.WARNING):
        write_text(tmp_path / "SECRET.txt", "a")
        write_text(tmp_path / "b.txt", "b")
    assert [record.getMessage().split()[0] for record in caplog.records] == ["1"]
    assert "SECRET" not in caplog.text
    assert str(tmp_path) not in caplog.text


def test_a_torn_audit_line_does_not_damage_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path, user="me", item="0" * 64, model="demo", destination="here")
    audit.write("started")
    with path.open("ab") as file:
        file.write(b'{"time": "2026-0')
    audit.write("sent")
    audit.write("started")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in (lines[0], *lines[2:])] == [
        "started", "sent", "started",
    ]  # fmt: skip


def test_an_audit_goes_to_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError):
        Audit(tmp_path / "pipe", user="me", item="", model="", destination="").write("sent")
