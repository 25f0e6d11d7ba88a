"""`finetune`, `data check` and `data show`, as a shell sees them."""

import json
from pathlib import Path

import pytest
import training_sets
from write_tiny import write_tiny

from longllava_domains.pipelines.cli.main import run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("base")))


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(training_sets.write_pubmedvision(tmp_path / "data", rows=3))


def test_a_recipe_is_shown_without_training(capfd) -> None:
    assert run(["finetune", "pubmedvision", "--show", "--set", "epochs=2"]) == 0
    shown = capfd.readouterr().out
    assert "name: pubmedvision-modified" in shown
    assert "epochs: 2  (given by the user)" in shown
    assert "learning_rate: 1e-05  (LongLLaVA's training scripts" in shown


def test_a_training_ends_in_an_adapter_and_resumes(base, data, tmp_path: Path, capfd) -> None:
    command = ["finetune", "pubmedvision-lora", "--base", base, "--data", data,
               "--output", str(tmp_path / "run"), "--set", "lora.targets=attention,in_proj",
               "--set", "lora.rank=2", "--set", "rows_per_step=2", "--set", "tokens_per_row=160"]  # fmt: skip
    assert run(command) == 0
    said = capfd.readouterr().out
    assert "step 2 of 2: loss" in said
    assert "saved: 2 steps" in said
    assert (tmp_path / "run" / "adapter_model.safetensors").is_file()
    assert run(command) == 2
    assert "not empty" in capfd.readouterr().err
    assert run([*command, "--resume"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own"], "needs data and a place"),
        (["no-such"], "no recipe of that name"),
        (["own", "--set", "epochs"], "not FIELD=VALUE"),
        (["own", "--set", "speed=9"], "no field speed"),
        (["own", "--data", "x", "--output", "y"], "No model is named"),
    ],
)
def test_a_training_that_cannot_begin_is_refused_in_a_sentence(arguments, message, capfd) -> None:
    assert run(["finetune", *arguments]) == 2
    assert message in capfd.readouterr().err


def test_a_typed_target_that_matches_nothing_is_refused(base, data, tmp_path: Path, capfd) -> None:
    command = ["finetune", "pubmedvision-lora", "--base", base, "--data", data, "--output",
               str(tmp_path / "run"), "--set", "lora.targets=cross_attn", "--set", "rows_per_step=2"]  # fmt: skip
    assert run(command) == 2
    assert "matches nothing" in capfd.readouterr().err


def test_data_check_counts_and_says_why(base, tmp_path: Path, capfd) -> None:
    data = training_sets.write_vqa_rad(tmp_path, "prepared")
    command = ["data", "check", f"{data}#train", "--layout", "vqa-rad", "--model", base,
               "--evaluation", f"vqa-rad:{data}#test", "--images"]  # fmt: skip
    assert run(command) == 0
    shown = capfd.readouterr().out
    assert "4 of 5 rows can be trained on" in shown
    assert "1 dropped (in_evaluation)" in shown
    assert "Terms (CC0-1.0)" in shown
    assert run([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["dropped"] == {"in_evaluation": 1}


def test_data_show_marks_what_is_learned(base, data, capfd) -> None:
    command = ["data", "show", data, "--layout", "pubmedvision", "--model", base, "--row", "2"]
    assert run(command) == 0
    assert capfd.readouterr().out.count("[[") == 1  # two rounds, of which the last is learned
    assert run([*command, "--loss-on", "all"]) == 0
    assert capfd.readouterr().out.count("[[") == 2
    assert run([*command, "--loss-on", "first"]) == 2
    assert (
        run(["data", "show", data, "--layout", "pubmedvision", "--model", base, "--row", "99"]) == 2
    )


def test_data_show_says_why_a_row_is_dropped(base, tmp_path: Path, capfd) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert run(["data", "show", str(tmp_path / "rows.jsonl"), "--model", base]) == 2
    assert "Row 1 is dropped" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"id": 1}, "conversations (1 row)"),
        ({"conversations": [{"from": "human", "text": "x"}]}, "value of a turn of conversations"),
        ({"conversations": [{"role": "human", "value": "x"}]}, "from of a turn of conversations"),
        (
            {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}],
             "image": 3},
            "image (1 row)",
        ),
    ],
)  # fmt: skip
def test_the_field_that_rows_lack_is_named(
    row: dict[str, object], field: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.json"
    data.write_text(json.dumps([row]))
    arguments = ["finetune", "own-lora", "--base", "demo", "--data", str(data)]
    assert run([*arguments, "--output", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert told.startswith("Refused: There is no row to train on: 1 damaged_row")
    assert field in told
    assert run(["data", "check", str(data), "--model", "demo"]) == 2
    assert field in capfd.readouterr().out
