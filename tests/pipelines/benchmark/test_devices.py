"""A run shared out over processes asks everything once, and scores as one process does."""

import json
from pathlib import Path

import pytest
from other_family import OtherModel, OtherSession

from longllava_domains.adapters.phantoms.benchmarks import write_benchmark
from longllava_domains.answer import Answer
from longllava_domains.errors import LongLlavaError, OutputError
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.devices import SharedRun, ask_on_devices
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.journal import Journal, read_journal
from longllava_domains.vision_language import LoadOptions

QUICK = RunSettings(draws=20, controls=False, max_new_tokens=1)


class CountingSession(OtherSession):
    def ask(self, question: str, **how: object) -> Answer:
        self.model.asked += 1
        return super().ask(question)

    def fork(self) -> "CountingSession":
        return CountingSession(self.model, self.sequence)


class CountingModel(OtherModel):
    def __init__(self) -> None:
        self.asked = 0

    def open(self, sequence: object, **how: object) -> CountingSession:
        return CountingSession(self, sequence)


def test_shares_are_apart_and_together_all_of_the_run(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=4)
    how = {"protocols": ["strict"], "settings": QUICK}
    whole = CountingModel()
    expected = Benchmark(whole)("vqa-rad", data, tmp_path / "whole", **how)
    shares = [CountingModel() for _ in range(3)]
    for place, model in enumerate(shares):
        Benchmark(model).ask_share("vqa-rad", data, tmp_path / "out", shard=(place, 3), **how)
    assert sum(model.asked for model in shares) == whole.asked
    assert all(model.asked for model in shares)
    joined = CountingModel()
    found = Benchmark(joined)("vqa-rad", data, tmp_path / "out", **how)
    assert joined.asked == 0
    assert found.card.metrics == expected.card.metrics


def test_what_another_process_is_writing_is_read_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    about = {"work": "run", "code": "x"}
    with Journal(path, "kind", {"a": 1}, **about) as journal:
        journal.keep({"ask": 1})
    with path.open("ab") as file:
        file.write(b'{"ask": 2')
    before = path.read_bytes()
    assert read_journal(path, "kind", {"a": 1}, **about) == [{"ask": 1}]
    assert path.read_bytes() == before
    path.write_bytes(b'{"kind": "ki')
    assert read_journal(path, "kind", {"a": 1}, **about) == []
    path.write_bytes(before)
    with pytest.raises(OutputError):
        read_journal(path, "kind", {"a": 2}, **about)


def test_the_command_shares_a_run_out_and_scores_it_like_one_process(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=2)
    command = ["evaluate", "vqa-rad", "--model", "demo", "--data", str(data)]
    command += ["--protocol", "strict", "--max-new-tokens", "1", "--draws", "20", "--no-controls"]
    assert run([*command, "--output", str(tmp_path / "one")]) == 0
    assert run([*command, "--output", str(tmp_path / "two"), "--devices", "0,1"]) == 0
    answers = "predictions-strict.jsonl"
    assert (tmp_path / "two" / answers).read_text() == (tmp_path / "one" / answers).read_text()
    kept = {
        path.name: len(path.read_text().splitlines()) - 1
        for path in (tmp_path / "two").glob("answers-*.jsonl")
    }
    assert kept.pop("answers-0-of-1.jsonl") == 0
    assert set(kept) == {"answers-0-of-2.jsonl", "answers-1-of-2.jsonl"}
    assert all(kept.values())
    one, two = (json.loads((tmp_path / name / "card.json").read_text()) for name in ("one", "two"))
    assert one["metrics"] == two["metrics"]


def test_what_a_process_cannot_do_is_said_by_the_run(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=2)
    nothing = str(tmp_path / "no_model")
    asked = SharedRun(nothing, LoadOptions(), "vqa-rad", data, tmp_path / "out", ("strict",), QUICK)
    with pytest.raises(LongLlavaError) as caught:
        ask_on_devices(asked, ["0"])
    assert caught.value.code != "benchmark.process"
