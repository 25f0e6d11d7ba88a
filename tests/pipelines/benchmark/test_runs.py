"""Runs of every benchmark, in its own layout, by a model that really looks at its picture."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_family import OtherModel, OtherSession

from longllava_domains.adapters.phantoms.benchmarks import BENCHMARKS, write_benchmark
from longllava_domains.answer import Answer
from longllava_domains.errors import InputError, OutputError, PolicyError
from longllava_domains.evaluate import PROTOCOLS
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.benchmark.materials import domain_of
from longllava_domains.visual import VisualSequence

QUICK = RunSettings(draws=50)


class StoppedError(Exception):
    """What a power cut is to a run."""


class LookingSession(OtherSession):
    """Says whether the bright thing lies on the left, and counts what it was asked."""

    def ask(self, question: str, **how: Any) -> Answer:
        self.model.asked.append((self.shown(), question))
        if self.model.stop_after and len(self.model.asked) > self.model.stop_after:
            raise StoppedError
        answer = super().ask(question)
        return Answer(self.said(question), answer.token_ids, "end", (), answer.provenance)

    def score(self, question: str, choices: Any, **how: Any) -> Any:
        self.model.asked.append((self.shown(), question))
        return super().score(question, choices)

    def fork(self) -> "LookingSession":
        return LookingSession(self.model, self.sequence)

    def shown(self) -> str:
        return "" if self.sequence is None else self.sequence.content_sha256()

    def said(self, question: str) -> str:
        if self.sequence is None or "left" not in question:
            return "no"
        grey = self.sequence[0].pixels.mean(axis=2)
        left, right = np.split(grey, [grey.shape[1] // 2], axis=1)
        return "yes" if left.mean() > right.mean() else "no"


class LookingModel(OtherModel):
    """A model of another family that looks."""

    def __init__(self, stop_after: int = 0) -> None:
        self.asked: list[tuple[str, str]] = []
        self.opened: Counter[str] = Counter()
        self.stop_after = stop_after

    def open(self, sequence: VisualSequence | None, **how: Any) -> LookingSession:
        session = LookingSession(self, sequence)
        self.opened[session.shown()] += 1
        return session


def protocol_of(benchmark: str) -> str:
    return next(iter(PROTOCOLS[benchmark]))


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_each_benchmark_runs_from_its_own_layout_to_cards(name: str, tmp_path: Path) -> None:
    data = write_benchmark(name, tmp_path / "data", size=3)
    found = Benchmark(LookingModel())(
        name, data, tmp_path / "out", protocols=[protocol_of(name)], settings=QUICK
    )
    assert found.failed == {}
    assert found.card.benchmark == f"SYNTHETIC {name}"
    assert {"oracle", "blind", "shuffled"} <= found.card.beside.keys()
    assert any(name.startswith("always") for name in found.card.beside)
    main = found.card.headline[0]
    assert found.card.beside["oracle"].metrics[main] >= found.card.metrics[main]
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert card["settings"]["model"]["model"] == "other"
    page = (tmp_path / "out/card.html").read_text()
    assert "SYNTHETIC" in page
    assert "For research use only" in page
    assert all(path.is_file() for path in found.files)


def test_every_image_is_read_once_and_every_prompt_asked_once(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=4)
    model = LookingModel()
    greedy = ["strict", "medevalkit", "vila-m3", "lmms-eval"]
    found = Benchmark(model)("vqa-rad", data, tmp_path / "out", protocols=greedy, settings=QUICK)
    assert max(Counter(model.asked).values()) == 1
    assert set(model.opened.values()) == {1}
    assert len(model.opened) == 5  # four images, and none
    assert found.asked == len(model.asked)
    assert len(found.results) == 8
    assert all({"blind", "shuffled", "oracle"} <= r.beside.keys() for r in found.results.values())


def test_eighteen_findings_cost_one_look_at_each_volume(tmp_path: Path) -> None:
    data = write_benchmark("ct-rate", tmp_path / "data", size=3)
    model = LookingModel()
    Benchmark(model)("ct-rate", data, tmp_path / "out", protocols=["longllava"], settings=QUICK)
    assert sorted(model.opened.values()) == [1, 1, 1, 1]
    # Shuffled volumes and the blind run need no look of their own: the questions are the same.
    assert len(model.asked) == 18 * 4


def test_what_is_seen_is_told_from_what_is_guessed(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=24)
    found = Benchmark(LookingModel())(
        "vqa-rad", data, tmp_path / "out", protocols=["strict"], settings=RunSettings(draws=300)
    )
    contrast = {(c.metric, c.against): c for c in found.card.contrasts}
    assert contrast["closed/accuracy", "blind"].is_visual
    assert contrast["open/accuracy", "blind"].is_visual is False
    assert any(note.startswith("not visual: open/accuracy") for note in found.card.notes)


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    data = write_benchmark("path-vqa", tmp_path / "data", size=3)
    stopped = LookingModel(stop_after=10)
    run = ("path-vqa", data, tmp_path / "out")
    with pytest.raises(StoppedError):
        Benchmark(stopped)(*run, protocols=["strict"], settings=QUICK)
    with (tmp_path / "out/answers-0-of-1.jsonl").open("ab") as file:
        file.write(b'{"ask": "cut sho')
    model = LookingModel()
    found = Benchmark(model)(*run, protocols=["strict"], settings=QUICK)
    assert found.reused == 10
    assert not {*stopped.asked[:10]} & {*model.asked}
    whole = Benchmark(LookingModel())(
        "path-vqa", data, tmp_path / "whole", protocols=["strict"], settings=QUICK
    )
    assert found.card.metrics == whole.card.metrics


def test_answers_of_other_data_are_refused(tmp_path: Path) -> None:
    for size in (3, 4):
        write_benchmark("vqa-rad", tmp_path / f"data{size}", size=size)
    Benchmark(LookingModel())(
        "vqa-rad", tmp_path / "data3", tmp_path / "out", protocols=["strict"], settings=QUICK
    )
    with pytest.raises(OutputError) as caught:
        Benchmark(LookingModel())(
            "vqa-rad", tmp_path / "data4", tmp_path / "out", protocols=["strict"], settings=QUICK
        )
    assert caught.value.code == "benchmark.journal_other"


def test_an_image_that_is_gone_is_counted_and_needs_a_policy(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=4)
    (data / "images/synpic2.jpg").unlink()
    run = ("vqa-rad", data, tmp_path / "out")
    with pytest.raises(PolicyError) as caught:
        Benchmark(LookingModel())(*run, protocols=["strict"], settings=QUICK)
    assert caught.value.code == "evaluate.missing"
    found = Benchmark(LookingModel())(
        *run, protocols=["strict"], settings=RunSettings(draws=50, scoring={"missing": "wrong"})
    )
    assert list(found.failed.values()) == ["benchmark.image"]
    assert found.card.counts.missing == 3
    assert any("1 inputs could not be shown" in note for note in found.card.notes)
    for image in (data / "images").iterdir():
        image.unlink()
    with pytest.raises(InputError, match="None of the"):
        Benchmark(LookingModel())(
            "vqa-rad", data, tmp_path / "none", protocols=["strict"], settings=QUICK
        )


def test_answers_in_other_words_are_labelled_and_stay_out_of_comparisons(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=4)
    found = Benchmark(LookingModel())(
        "vqa-rad", data, tmp_path / "out", protocols=["strict"], settings=QUICK
    )
    told = {name: " ".join(result.notes) for name, result in found.results.items()}
    assert "prompt mismatch: question text (12 rows in the words of strict@1)" in told["medevalkit"]
    assert "prompt mismatch: decoding" in told["llava-med"]
    assert "prompt mismatch" not in told["strict"]
    assert "8 protocols" in (tmp_path / "out/card.md").read_text()


def test_a_part_of_a_benchmark_never_passes_for_the_whole(tmp_path: Path) -> None:
    data = write_benchmark("vqa-rad", tmp_path / "data", size=4)
    found = Benchmark(LookingModel())(
        "vqa-rad", data, tmp_path / "out", protocols=["strict"],
        settings=RunSettings(draws=50, limit=6),
    )  # fmt: skip
    assert found.card.counts.references == 6
    assert any("only the first 6 of 12 rows" in note for note in found.card.notes)


@pytest.mark.parametrize("protocols", [[], ["none"]])
def test_a_run_needs_a_protocol_of_its_benchmark(protocols: list[str], tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        Benchmark(LookingModel())("vqa-rad", tmp_path, tmp_path / "out", protocols=protocols)


def test_every_benchmark_is_of_a_domain_or_of_flat_pictures() -> None:
    flat = {name for name in PROTOCOLS if domain_of(name) is None}
    assert flat == {"vqa-rad", "path-vqa"}
    assert domain_of("ct-rate/reports") == "ct"
    assert domain_of("slidebench") == "pathology"
    assert domain_of("fit-rsfg/complex") == "remote_sensing"
