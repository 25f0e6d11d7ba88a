"""The paper's tables beside ours: as printed, and matches, differs, impossible or not run."""

import json
import zipfile
from pathlib import Path

import pytest
from other_family import OtherModel
from seeing import SeeingModel

from longllava_domains.adapters.phantoms import write_benchmark
from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.measures.efficiency import Efficiency
from longllava_domains.pipelines.measures.paper import TABLES, paper_table
from longllava_domains.pipelines.measures.reproduce import (
    PaperLine,
    compare_efficiency,
    save_reproduction,
)
from longllava_domains.pipelines.measures.reproducing import run_table
from longllava_domains.pipelines.measures.star import star_trials
from longllava_domains.vision_language import ViewFormat

QUICK = {"tokens": 1, "answer": 2, "limit": None}


def value(number: str, model: str, metric: str, benchmark: str = "") -> float | None:
    (row,) = [
        row
        for row in paper_table(number).rows
        if (row.model, row.metric, row.benchmark) == (model, metric, benchmark)
    ]
    return row.value


def test_tables_hold_what_the_manuscript_prints() -> None:
    nine, large = "LongLLaVA-9B", "LongLLaVA-A13B"
    assert value("2", nine, "videomme_perception_score", "videomme") == 0.455
    assert value("2", f"{nine}, more data", "MileBench average") == 0.521
    assert value("2", large, "MVBench") == 0.562
    assert value("3", large, "VNBench average") == 0.521
    assert value("5", nine, "VL-ICL matching image, 5 shots") == 0.602
    assert value("5", large, "batch_tokens_per_s") == 37.6
    assert value("6", "LongLLaVA-Med-9B", "accuracy", "vqa-rad") == 0.685
    assert value("6", "LongLLaVA-Med-9B", "accuracy", "path-vqa") == 0.55
    assert value("7", "LongLLaVA-Med-9B", "accuracy", "ct-rate") == 0.867
    assert value("8", "LongLLaVA-RS-9B, fine-tuned", "accuracy", "fit-rsfg/vqa") == 0.823
    assert value("10", large, "mme_perception_score", "mme") == 1523.9
    assert value("10", nine, "mmmu_acc", "mmmu_val") == 0.344
    assert {row.value for row in paper_table("figure-8").rows} == {None}
    assert all(row.value is not None for number in TABLES[:-1] for row in paper_table(number).rows)


def test_a_paper_row_that_cannot_be_is_said_to_be_impossible_before_any_run(tmp_path: Path) -> None:
    lines, runs = run_table(SeeingModel(), paper_table("7"), None, tmp_path, **QUICK)
    assert {line.verdict for line in lines} == {"impossible"}
    assert "prevalence" in lines[0].why
    assert runs == []


def test_a_mean_that_is_not_the_mean_of_its_parts_is_impossible(tmp_path: Path) -> None:
    lines, _ = run_table(SeeingModel(), paper_table("3"), None, tmp_path, **QUICK)
    impossible = [line for line in lines if line.verdict == "impossible"]
    assert [(line.row.model, line.row.metric) for line in impossible] == [
        ("LongLLaVA-9B", "VNBench average")
    ]
    assert "0.4767" in impossible[0].why
    lines, _ = run_table(SeeingModel(), paper_table("2"), None, tmp_path, **QUICK)
    assert {line.verdict for line in lines} == {"not run"}


def test_a_table_runs_what_data_it_has_and_sends_no_truths(tmp_path: Path) -> None:
    write_benchmark("vqa-rad", tmp_path / "data/vqa-rad", size=3)
    table = paper_table("6")
    lines, runs = run_table(OtherModel(), table, tmp_path / "data", tmp_path / "out", **QUICK)
    assert lines[0].ours is not None
    assert lines[0].verdict in ("matches", "differs")
    assert lines[1].verdict == "not run"
    *_, archive = save_reproduction(tmp_path / "out", table, lines, {"model": "other"}, runs)
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        said = json.loads(packed.read("table-6.json"))
    assert "vqa-rad/card.json" in names
    assert "vqa-rad/predictions-huatuo-mcq-blind.jsonl" in names
    assert not any("rows" in name or "answers" in name for name in names)
    assert "double-blind" in said["paper"]


def test_values_of_another_edition_stand_in_place_of_those_on_record(tmp_path: Path) -> None:
    path = tmp_path / "paper.json"
    rows = [{"model": "m", "benchmark": "vqa-rad", "metric": "accuracy", "value": 0.5}]
    path.write_text(json.dumps(rows))
    assert [row.value for row in paper_table("6", path).rows] == [0.5]
    path.write_text("[3]")
    with pytest.raises(DamagedInputError):
        paper_table("6", path)
    with pytest.raises(PolicyError):
        paper_table("4")


def harness(folder: Path, **changes: object) -> dict[str, PaperLine]:
    """Write a result file in the layout of lmms-eval 0.7.3, and compare table 10 with it."""
    results = {
        "gqa": {"alias": "gqa", "exact_match,none": 0.59, "exact_match_stderr,none": 0.004},
        "mmbench_en_dev": {"gpt_eval_score,none": 63.71, "gpt_eval_score_stderr,none": "N/A"},
        "mme": {"mme_perception_score,none": 1400.0, "mme_perception_score_stderr,none": "N/A"},
    }
    (folder / "lmms-eval/model").mkdir(parents=True, exist_ok=True)
    path = folder / "lmms-eval/model/20261130_120000_results.json"
    path.write_text(json.dumps({"results": results, "config": {"limit": None, **changes}}))
    lines, _ = run_table(SeeingModel(), paper_table("10"), folder, folder / "out", **QUICK)
    return {f"{line.row.model} {line.row.benchmark}": line for line in lines if line.row.benchmark}


def test_results_of_lmms_eval_stand_beside_the_papers(tmp_path: Path) -> None:
    found = harness(tmp_path)
    assert found["LongLLaVA-9B gqa"].verdict == "matches"
    assert found["LongLLaVA-A13B gqa"].verdict == "differs"
    assert found["LongLLaVA-A13B mmbench_en_dev"].verdict == "matches"  # 63.7 of 63.71 in percent
    assert found["LongLLaVA-9B mme"].verdict == "differs"
    assert found["LongLLaVA-9B chartqa"].verdict == "not run"
    part = harness(tmp_path, limit=8)
    assert part["LongLLaVA-9B gqa"].verdict == "not run"
    assert part["LongLLaVA-9B gqa"].ours == 0.59
    (tmp_path / "lmms-eval/results.json").write_text('{"results": 3}')
    with pytest.raises(DamagedInputError):
        harness(tmp_path)


def test_another_length_than_the_papers_is_shown_and_not_compared() -> None:
    measured = Efficiency("text", 300, 0, 16.5, 62.1, 5, None, 1, 10**9)
    assert {line.verdict for line in compare_efficiency(paper_table("5"), measured)} == {"not run"}
    whole = Efficiency("text", 100_000, 0, 16.0, 62.1, 1000, None, 1, 38_700_000_000)
    lines = compare_efficiency(paper_table("5"), whole)
    verdicts = {f"{line.row.model} {line.row.metric}": line.verdict for line in lines}
    assert [
        verdicts[f"LongLLaVA-9B {name}"] for name in ("prefill_s", "tokens_per_s", "peak_gb")
    ] == ["matches"] * 3
    assert verdicts["LongLLaVA-9B batch_tokens_per_s"] == "not run"
    assert verdicts["LongLLaVA-A13B tokens_per_s"] == "differs"
    icl = [line for line in lines if "VL-ICL" in line.row.metric]
    assert {line.verdict for line in icl} == {"not run"}
    assert all("generated" in line.why for line in icl)


class CoarseModel(SeeingModel):
    """Sees views of the released size, so that a large scene is a hundred tiles."""

    view_format = ViewFormat(view_px=336, tokens_per_view=144, trained_tokens=0)


def test_scenes_of_figure_8_are_told_by_their_sub_images_alone(tmp_path: Path) -> None:
    model = CoarseModel()
    table = paper_table("figure-8")
    lines, runs = run_table(model, table, None, tmp_path, **QUICK)
    shares = {line.row.metric: line.ours for line in lines}
    assert shares["sub-images"] == 1.0
    assert shares["whole"] < 1.0  # the smaller scene is guessed, the first colour
    assert {line.verdict for line in lines} == {"not run"}
    assert all("generated" in line.why for line in lines)
    assert (runs[0] / "card.html").is_file()
    whole, tiled = star_trials(model.view_format, tmp_path / "star")[2:]
    assert len(whole.show()) == 1 < len(tiled.show())


def test_scenes_of_ones_own_are_read_or_refused(tmp_path: Path) -> None:
    from PIL import Image

    form = SeeingModel.view_format
    with pytest.raises(NotFoundError):
        star_trials(form, tmp_path, data=tmp_path)
    row = {"image": "a.png", "question": "?", "choices": ["yes", "no"], "answer": "maybe"}
    (tmp_path / "questions.json").write_text(json.dumps([row]))
    with pytest.raises(DamagedInputError):
        star_trials(form, tmp_path, data=tmp_path)
    Image.new("RGB", (100, 80), (90, 90, 90)).save(tmp_path / "a.png")
    (tmp_path / "questions.json").write_text(json.dumps([{**row, "answer": "no"}]))
    assert [trial.point for trial in star_trials(form, tmp_path, data=tmp_path)] == [
        "whole",
        "sub-images",
    ]


def test_the_command_names_the_tables_and_where_they_were_read(capfd) -> None:
    assert run(["reproduce", "tables"]) == 0
    shown = capfd.readouterr().out
    assert "7: CT-RATE" in shown
    assert "figure-8" in shown
    assert "double-blind" in shown
