"""Reports that are written for findings scored first, beside those that are written directly."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from other_family import OtherModel, OtherSession

from longllava_domains.adapters.phantoms.benchmarks import write_benchmark
from longllava_domains.answer import Answer
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.benchmark.benchmark import Benchmark, RunSettings
from longllava_domains.pipelines.ct.calibration import Calibration
from longllava_domains.pipelines.ct.outside_volumes import outside_volumes
from longllava_domains.visual import VisualSequence

NAME = "ct-rate/reports"
PROMPT = "Write the findings of this CT scan."
PRESENT = "These findings were scored as present: lung nodule. Describe each of them."


class WritingSession(OtherSession):
    """Repeats what it was asked to write, and counts looks and questions."""

    def ask(self, question: str, **how: object) -> Answer:
        self.model.asked.append(question)
        made = super().ask(question)
        return Answer(f"{question} Done.", made.token_ids, "end", (), made.provenance)

    def score(self, question: str, choices: object, **how: object) -> object:
        self.model.scored.append(question)
        return super().score(question, choices)

    def fork(self) -> "WritingSession":
        return WritingSession(self.model, self.sequence)


class WritingModel(OtherModel):
    """Finds everything: its margin is 1 for each finding."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.scored: list[str] = []
        self.looks = 0

    def open(self, sequence: VisualSequence | None, **how: object) -> WritingSession:
        self.looks += 1
        return WritingSession(self, sequence)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmark(NAME, tmp_path_factory.mktemp("ct") / "data", size=2)


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    """Calls a nodule present from the model's margin, and emphysema absent."""
    fitted = {
        "model_sha256": "0" * 64,
        "preset": "ct-default@1",
        "coefficients": {"Lung nodule": [1.0, 0.0], "Emphysema": [-1.0, 0.0]},
        "labels": {"Lung nodule": {"threshold": 0.6}, "Emphysema": {"threshold": 0.6}},
    }
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(fitted))
    return path


def test_findings_come_first_in_the_same_look_and_both_protocols_stand_on_the_card(
    data: Path, calibration: Path, tmp_path: Path
) -> None:
    model = WritingModel()
    settings = RunSettings(draws=20, controls=False, calibration=calibration)
    run = (NAME, data, tmp_path / "out")
    both = ["findings-first", "vlm3d"]
    found = Benchmark(model)(*run, protocols=both, settings=settings)
    assert list(found.results) == both
    volumes = model.looks
    assert len(model.scored) == 18 * volumes
    assert sorted(set(model.asked)) == [
        PROMPT,
        f"{PROMPT} {PRESENT} Do not call normal what was not scored.",
    ]
    assert len(model.asked) == 2 * volumes
    rows = [
        json.loads(line)["report"]
        for line in (tmp_path / "out/predictions-findings-first.jsonl").read_text().splitlines()
    ]
    assert all(PRESENT in row for row in rows)
    direct = (tmp_path / "out/predictions-vlm3d.jsonl").read_text()
    assert PRESENT not in direct
    again = WritingModel()
    resumed = Benchmark(again)(*run, protocols=both, settings=settings)
    assert (again.looks, resumed.reused, resumed.asked) == (0, 20 * volumes, 20 * volumes)


def test_findings_first_is_not_scored_where_it_was_not_asked(data: Path, tmp_path: Path) -> None:
    settings = RunSettings(draws=20, controls=False)
    model = WritingModel()
    found = Benchmark(model)(NAME, data, tmp_path / "out", protocols=["all"], settings=settings)
    assert list(found.results) == ["vlm3d"]
    assert "findings-first" in found.skipped
    assert model.scored == []


@pytest.mark.parametrize(("protocols", "given"), [(["findings-first"], False), (["vlm3d"], True)])
def test_findings_first_and_a_calibration_belong_together(
    protocols: list[str], given: bool, data: Path, calibration: Path, tmp_path: Path
) -> None:
    settings = RunSettings(calibration=calibration if given else None)
    with pytest.raises(PolicyError) as caught:
        Benchmark(WritingModel())(
            NAME, data, tmp_path / "out", protocols=protocols, settings=settings
        )
    assert caught.value.code == "benchmark.calibration"


def test_a_calibration_of_another_model_is_refused(
    data: Path, calibration: Path, tmp_path: Path
) -> None:
    fitted = json.loads(calibration.read_text()) | {"model_sha256": "1" * 64}
    calibration.write_text(json.dumps(fitted))
    with pytest.raises(PolicyError) as caught:
        Benchmark(WritingModel())(
            NAME, data, tmp_path / "out", protocols=["findings-first"],
            settings=RunSettings(calibration=calibration),
        )  # fmt: skip
    assert caught.value.code == "calibration.mismatch"


def run_with_limits(data: Path, calibration: Path, out: Path, limits: dict[str, object]) -> dict:
    fitted = json.loads(calibration.read_text()) | {"limits": limits}
    calibration.write_text(json.dumps(fitted))
    settings = RunSettings(draws=20, calibration=calibration)
    Benchmark(WritingModel())(NAME, data, out, protocols=["findings-first"], settings=settings)
    return json.loads((out / "card.json").read_text())


def test_findings_of_a_volume_outside_the_calibration_are_withheld_and_counted(
    data: Path, calibration: Path, tmp_path: Path
) -> None:
    table = data / "dataset/metadata/validation_metadata.csv"
    before = table.read_text()
    rows = before.splitlines()
    young = [row.replace(",PHANTOM,O,060Y", ",SIEMENS,F,031Y") for row in rows[1:2]]
    old = [row.replace(",PHANTOM,O,060Y", ",SIEMENS,M,075Y") for row in rows[2:]]
    table.write_text("\n".join([rows[0], *young, *old]) + "\n")
    limits = {"age_years": [20, 69], "sex": ["female"], "manufacturer": ["SIEMENS"]}
    try:
        card = run_with_limits(data, calibration, tmp_path / "out", limits)
    finally:
        table.write_text(before)
    counted = card["settings"]["run"]
    assert counted["calibration.outside"] == 1
    assert counted["calibration.outside.age_years"] == counted["calibration.outside.sex"] == 1
    assert any("1 of 2 volumes lie outside" in note for note in card["notes"])
    for ending in ("", "-blind", "-shuffled"):
        path = tmp_path / f"out/predictions-findings-first{ending}.jsonl"
        reports = {
            row["VolumeName"]: row["report"]
            for row in map(json.loads, path.read_text().splitlines())
        }
        assert PRESENT in reports["valid_1_a_1"]
        assert reports["valid_2_a_1"] == f"{PROMPT} Done."


def test_what_the_table_does_not_say_counts_as_inside(calibration: Path) -> None:
    fitted = replace(
        Calibration.from_file(calibration), limits={"sex": ("male",), "body_part": ("CHEST",)}
    )
    found = outside_volumes(fitted, ["valid_1_a_1"], None)
    assert found.codes == {}
    assert any("says nothing of 1 volumes" in note for note in found.notes)
    belly = outside_volumes(
        replace(fitted, limits={"body_part": ("ABDOMEN",)}), ["valid_1_a_1"], None
    )
    assert belly.codes == {"valid_1_a_1": ("calibration.outside.body_part",)}
    without = outside_volumes(replace(fitted, limits={}), ["valid_1_a_1"], None)
    assert without.codes == {}
    assert "no limits" in without.notes[0]
