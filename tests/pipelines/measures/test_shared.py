"""Measures shared out over processes, and shots beside a fine-tuning on the same samples."""

import json
from pathlib import Path

import numpy as np
import pytest
from seeing import SeeingModel
from write_tiny import write_tiny

from longllava_domains.errors import OutputError, PolicyError
from longllava_domains.pipelines.benchmark.outcome import make_folder
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.measures.needle import needle_trials
from longllava_domains.pipelines.measures.plan import MeasurePlan, SharedMeasure
from longllava_domains.pipelines.measures.scaling import (
    held_out_trials,
    scaling_trials,
    write_shot_samples,
)
from longllava_domains.pipelines.measures.trials import run_trials
from longllava_domains.pipelines.measures.tuned import tuning_recipe
from longllava_domains.vision_language import LoadOptions

FORM = SeeingModel.view_format


def lines(folder: Path) -> dict[str, int]:
    """Count the answers in each file of a folder."""
    return {
        path.name: len(path.read_text().splitlines()) - 1
        for path in sorted(folder.glob("answers*.jsonl"))
    }


def test_shares_of_a_measure_are_apart_and_together_all_of_it(tmp_path: Path) -> None:
    trials = needle_trials((4, 9), (0.25, 1.0), view_px=64)
    whole = SeeingModel(far=5)
    expected = run_trials(whole, trials, make_folder(tmp_path / "whole"), {"measure": "needle"})
    shares = [SeeingModel(far=5) for _ in range(3)]
    make_folder(tmp_path / "out")
    for place, model in enumerate(shares):
        run_trials(model, trials, tmp_path / "out", {"measure": "needle"}, shard=(place, 3))
    assert sum(model.scored for model in shares) == whole.scored
    assert all(model.scored for model in shares)
    joined = SeeingModel(far=0)
    found = run_trials(joined, trials, tmp_path / "out", {"measure": "needle"})
    assert joined.scored == 0
    assert found == expected
    with pytest.raises(OutputError):
        run_trials(joined, trials, tmp_path / "out", {"measure": "frames"})


def test_the_command_shares_a_measure_out_and_counts_it_like_one_process(tmp_path: Path) -> None:
    command = ["needle", "--frames", "2,3", "--depths", "0.5"]
    whole = ["evaluate", *command, "--model", "demo", "--output"]
    assert run([*whole, str(tmp_path / "one")]) == 0
    assert run([*whole, str(tmp_path / "two"), "--devices", "0,1"]) == 0
    one, two = (json.loads((tmp_path / name / "card.json").read_text()) for name in ("one", "two"))
    assert len(one["points"]) == 2
    assert (one["points"], one["blind"]) == (two["points"], two["blind"])
    kept = lines(tmp_path / "two")
    assert kept.pop("answers.jsonl") == 0
    assert set(kept) == {"answers-0-of-2.jsonl", "answers-1-of-2.jsonl"}
    assert all(kept.values())


def test_held_out_pairs_are_the_same_whatever_was_shown_before() -> None:
    few, many = (
        [trial.show() for trial in scaling_trials("shots", (shots,), FORM, Path())]
        for shots in (1, 3)
    )
    alone = [trial.show() for trial in held_out_trials("0 shots", FORM.view_px, 0)]
    for one, other, pair in zip(few, many, alone, strict=True):
        assert (len(one), len(other), len(pair)) == (4, 8, 2)
        for first, second, third in zip([*one][-2:], [*other][-2:], pair, strict=True):
            assert np.array_equal(first.pixels, second.pixels)
            assert np.array_equal(first.pixels, third.pixels)


def test_a_session_is_shown_the_pictures_that_the_samples_train_on(tmp_path: Path) -> None:
    from PIL import Image

    (trial, *_) = scaling_trials("shots", (3,), FORM, tmp_path)
    path = write_shot_samples(tmp_path / "s.jsonl", 3, FORM.view_px, 0)
    names = [name for row in path.read_text().splitlines() for name in json.loads(row)["image"]]
    for name, view in zip(names, trial.show(), strict=False):
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), view.pixels)


def test_shots_stand_beside_a_fine_tuning_on_the_same_samples(tmp_path: Path, capfd) -> None:
    base, out = write_tiny(tmp_path / "base"), tmp_path / "out"
    command = ["evaluate", "scaling", "shots", "--model", str(base), "--points", "1,2",
               "--fine-tune", "--set", "tokens_per_row=400", "--set", "rows_per_step=1",
               "--set", "lora.rank=2", "--set", "recompute_layers=false", "--output", str(out)]  # fmt: skip
    assert run(command) == 0
    card = json.loads((out / "card.json").read_text())
    assert list(card["points"]) == [
        "1 shots", "2 shots", "0 shots", "1 samples, fine-tuned", "2 samples, fine-tuned",
    ]  # fmt: skip
    assert {share["trials"] for share in card["points"].values()} == {8}
    assert card["settings"]["recipe"]["name"] == "own-lora-modified"
    for samples in (1, 2):
        place = out / f"tuned-{samples}"
        assert (place / "adapter/adapter_model.safetensors").is_file()
        assert len((place / "samples.jsonl").read_text().splitlines()) == samples
    saved = out / "tuned-2/adapter/adapter_model.safetensors"
    before = saved.stat().st_mtime_ns
    assert run(command) == 0  # nothing is tuned or asked again
    assert saved.stat().st_mtime_ns == before
    assert json.loads((out / "card.json").read_text())["points"] == card["points"]
    capfd.readouterr()
    assert run([*command, "--set", "epochs=2"]) == 2
    assert "another measure" in capfd.readouterr().err


def test_only_shots_of_a_bare_model_are_tuned() -> None:
    shots = MeasurePlan("shots", (1,))
    asked = SharedMeasure("demo", LoadOptions(), shots, Path())
    assert tuning_recipe(asked, {"epochs": 3}).epochs == 3
    for plan, loading in (
        (MeasurePlan("frames", (2,)), LoadOptions()),
        (shots, LoadOptions(adapter="a")),
    ):
        with pytest.raises(PolicyError) as caught:
            tuning_recipe(SharedMeasure("demo", loading, plan, Path()), {})
        assert caught.value.code == "measure.fine_tune"
