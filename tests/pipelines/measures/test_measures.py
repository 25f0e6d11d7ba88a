"""Needles, curves and times, by a model that really looks."""

import json
from pathlib import Path

import pytest
from other_family import OtherModel
from seeing import SeeingModel, discs

from longllava_domains.errors import DamagedInputError, NotFoundError, PolicyError
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.measures.efficiency import measure_efficiency
from longllava_domains.pipelines.measures.needle import needle_trials
from longllava_domains.pipelines.measures.pictures import disc_frame
from longllava_domains.pipelines.measures.scaling import (
    scaling_trials,
    shot_samples,
    write_shot_samples,
)
from longllava_domains.pipelines.measures.trials import Share, run_trials


def test_a_needle_is_found_as_far_as_the_model_looks_and_guessing_stands_beside(
    tmp_path: Path,
) -> None:
    trials = needle_trials((4, 12), (0.25, 1.0), view_px=64)
    found = run_trials(SeeingModel(far=6), trials, tmp_path, {"measure": "needle"})
    assert {point: share.value for point, share in found.points.items()} == {
        "4 frames, depth 0.25": 1.0,
        "4 frames, depth 1": 1.0,
        "12 frames, depth 0.25": 1.0,
        "12 frames, depth 1": 0.25,
    }
    assert {share.value for share in found.blind.values()} == {0.25}
    again = SeeingModel()
    assert run_trials(again, trials, tmp_path, {"measure": "needle"}).points == found.points
    assert again.scored == 0


def test_a_sequence_has_the_needle_at_its_depth() -> None:
    (first, *_) = needle_trials((11,), (0.4,), view_px=64)
    views = first.show()
    assert len(views) == 11
    assert [k for k, view in enumerate(views) if discs(view.pixels)] == [4]


def test_needles_of_ones_own_are_read_or_refused(tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(NotFoundError):
        needle_trials((3,), (0.5,), view_px=64, data=tmp_path)
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (32, 32), (90, 90, 90)).save(tmp_path / "frames/1.png")
    Image.fromarray(disc_frame("blue", 32, 0)).save(tmp_path / "n.png")
    row = {"image": "n.png", "question": "?", "choices": ["red", "blue"], "answer": "green"}
    (tmp_path / "needles.json").write_text(json.dumps([row]))
    with pytest.raises(DamagedInputError):
        needle_trials((3,), (0.5,), view_px=64, data=tmp_path)
    (tmp_path / "needles.json").write_text(json.dumps([{**row, "answer": "blue"}]))
    (trial,) = needle_trials((3,), (0.5,), view_px=64, data=tmp_path)
    assert [bool(discs(view.pixels)) for view in trial.show()] == [False, True, False]
    with pytest.raises(PolicyError):
        needle_trials((1,), (0.5,), view_px=64)


def test_sub_images_show_what_the_whole_view_is_too_small_for(tmp_path: Path) -> None:
    trials = scaling_trials("sub-images", (1, 36), SeeingModel.view_format, tmp_path)
    few, many = trials[0].show(), trials[4].show()
    assert len(few) < len(many) <= 37
    truth = trials[0].truth
    assert not any(truth in discs(view.pixels) for view in few)
    assert any(truth in discs(view.pixels) for view in many)


def test_shots_and_their_training_samples_are_the_same_pairs(tmp_path: Path) -> None:
    (trial, *_) = scaling_trials("shots", (3,), SeeingModel.view_format, tmp_path)
    assert len(trial.show()) == 2 * (3 + 1)
    told = [row["answer"] for row in shot_samples(3)]
    assert all(f"pair {k}: {answer}" in trial.question for k, answer in enumerate(told, 1))
    path = write_shot_samples(tmp_path / "s.jsonl", 3, 64, 0)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["conversations"][1]["value"] for row in rows] == told
    assert all((tmp_path / name).is_file() for row in rows for name in row["image"])
    with pytest.raises(PolicyError):
        scaling_trials("width", (1,), SeeingModel.view_format, tmp_path)


def test_an_interval_holds_the_share() -> None:
    low, high = Share(3, 4).interval
    assert low == pytest.approx(0.3006, abs=1e-3)
    assert high == pytest.approx(0.9544, abs=1e-3)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        measure_efficiency(OtherModel(), "sound", 10)
    assert run(["evaluate", "needle", "--frames", "two", "--model", "demo"]) == 2


def test_efficiency_of_the_packaged_model_has_times_and_memory(tmp_path: Path, capfd) -> None:
    command = ["evaluate", "efficiency", "--model", "demo", "--tokens", "160", "--answer", "3"]
    assert run([*command, "--most-batch", "2", "--output", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out/efficiency.json").read_text())
    images, text = content["measured"]
    assert (images["views"], text["views"]) == (160 // (4 + 6), 0)  # a view and its words
    for each in (images, text):
        assert each["prefill_s"] > 0
        assert each["peak_bytes"] > 10**8
        assert each["batch"] == 2 or each["generated"] == 1
