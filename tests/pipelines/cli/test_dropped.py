"""Nothing that was typed is dropped in silence: it counts, or it is refused."""

from pathlib import Path

import pytest
import typer

from longllava_domains.pipelines.cli.main import app, run
from longllava_domains.pipelines.cli.options.together import NEEDS

PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")
RECIPE = ["finetune", "own-lora", "--show"]
SCORE = ["evaluate", "score", "vqa-rad", "answers.csv", "--protocol", "strict@1"]
RUN = ["archive", "run", "CT", "--task", "views", "--domain", "ct", "--output", "results"]


def refusal(arguments: list[str], capfd) -> str:
    assert run(arguments) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 2
    return str(told.err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--images", "9", "train", "--rows", "1"], "--images before train would count for"),
        (["plan", "--model=53b", "train", "--rows", "1"], "--model before train would count for"),
        (["plan", "train", "--rows", "1", "--lora-rank", "8"], "--lora-rank would change nothing"),
        (["plan", "train", "--rows", "1", "--lora-rank=8"], "Add --lora, or leave --lora-rank out."),
        ([*RUN, "--sample", "3"], "--sample would change nothing without --dry-run."),
        ([*RUN, "--deadline", "2h"], "--deadline would change nothing without --dry-run."),
        ([*RUN, "--address", "auto"], "--address would change nothing without --engine ray."),
        ([*RUN, "--engine", "local", "--gpus-each", "1"], "without --engine ray."),
        ([*RECIPE, "--evaluate-rows", "3"], "--evaluate-rows would change nothing"),
        ([*RECIPE, "--set", "epochs=2", "--set", "epochs=3"], "--set epochs is given twice."),
        ([*SCORE, "--set", "a-b=2", "--set", "a_b=3"], "--set a_b is given twice."),
        ([*RECIPE, "--base", "nowhere"], "--base: There is no model of that name"),
        ([*RECIPE, "--base", "."], "no config.json, so it holds no model."),
        ([*RECIPE, "--data", "nowhere"], "The training data is not there"),
        ([*RECIPE, "--report-to", "tensorbord"], "Did you mean tensorboard?"),
        ([*RECIPE, "--report-to", "tensorbord"], "--report-to tensorbord: There is no place for"),
        ([*RECIPE, "--set", "lora.rank=100000000"], "--set lora.rank cannot be 100000000."),
        ([*RECIPE, "--set", "lora.rank=4097"], "Give a number from 1 to 4096."),
    ],
)  # fmt: skip
def test_what_would_be_dropped_or_not_looked_at_is_refused(
    arguments: list[str], said: str, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CT").mkdir()
    assert said in refusal(arguments, capfd)


def test_a_place_for_figures_that_is_not_installed_is_named(capfd, monkeypatch) -> None:
    from transformers import integrations

    monkeypatch.setattr(integrations, "get_available_reporting_integrations", lambda: ["mlflow"])
    told = refusal([*RECIPE, "--report-to", "wandb"], capfd)
    assert "Figures cannot go to wandb: it is not installed." in told
    assert "Install it, or use none or mlflow." in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "train", "--rows", "1", "--lora", "--lora-rank", "8"],
        ["plan", "--images", "9", "--model", "demo"],
        [*RECIPE, "--base", "demo", "--report-to", "none", "--set", "epochs=2", "--set", "seed=2"],
        [*RECIPE, "--base", "owner/not-fetched", "--set", "lora.rank=4096"],
    ],
)
def test_what_belongs_together_is_taken(arguments: list[str], capfd) -> None:
    assert run(arguments) == 0


def test_the_table_of_options_names_commands_and_options_that_exist() -> None:
    for name, needs in NEEDS.items():
        command = typer.main.get_command(app)
        for word in name.split():
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {*needs, *(needed.split()[0] for needed in needs.values())} <= options


def test_a_row_that_is_dropped_ends_as_the_check_of_its_data_does(tmp_path: Path, capfd) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello\n")
    assert run(["data", "show", str(note), "--model", "demo"]) == 2
    assert "Row 1 is dropped" in capfd.readouterr().out
    assert run(["data", "check", str(note), "--model", "demo"]) == 2


def test_data_that_are_none_are_refused_before_a_model_is_asked_for(tmp_path: Path, capfd) -> None:
    for content, said in (("hello\n", "none of its first rows"), ("", "The file holds no row.")):
        note = tmp_path / "note.jsonl"
        note.write_text(content)
        told = refusal(["data", "check", str(note)], capfd)
        assert said in told
        assert "--layout" in told


def test_a_seed_that_draws_nothing_is_refused(capfd) -> None:
    ask = ["ask", PHANTOM, "Is there a nodule?", "--model", "demo", "--max-new-tokens", "1"]
    assert run([*ask, "--seed", "1"]) == 2
    assert "--temperature 1" in capfd.readouterr().err
    assert run([*ask, "--every-mm", "100", "--seed", "1", "--temperature", "1"]) == 0


def test_a_ct_is_shown_in_as_many_views_as_were_asked_for(capfd) -> None:
    ask = ["ask", PHANTOM, "Is there a nodule?", "--model", "demo", "--max-new-tokens", "1"]
    assert run([*ask, "--most", "6"]) == 0
    assert "Shown: 6 views" in capfd.readouterr().err
    assert run([*ask, "--most", "1"]) == 2
    assert "smaller than the number of windows" in capfd.readouterr().err


def test_a_purpose_that_the_series_does_not_serve_is_told(capfd) -> None:
    ask = ["ask", PHANTOM, "Is there a nodule?", "--model", "demo", "--max-new-tokens", "1"]
    assert run([*ask, "--most", "6", "--purpose", "abdomen"]) == 0
    assert "another region of the body than the one asked for" in capfd.readouterr().out
    assert run([*ask, "--most", "6", "--purpose", "chest"]) == 0
    assert "another region" not in capfd.readouterr().out


def test_what_draws_nothing_beside_a_temperature_of_0_is_refused(capfd) -> None:
    ask = ["ask", PHANTOM, "Is there a nodule?", "--model", "demo", "--temperature", "0"]
    assert run([*ask, "--top-p", "0.5"]) == 2
    assert "--top-p would change nothing" in capfd.readouterr().err


def test_a_device_is_no_place_for_a_report(capfd) -> None:
    assert run(["report", PHANTOM, "--model", "demo", "--out", "/dev/null"]) == 2
    assert "Give the name of a new file." in capfd.readouterr().err


def test_markers_of_views_in_a_question_are_left_out(capfd) -> None:
    ask = ["ask", PHANTOM, "Is there <image> a nodule?", "--model", "demo", "--every-mm", "100"]
    assert run(ask) == 2
    assert "Leave <image> out" in capfd.readouterr().err


def test_a_packaged_adapter_is_merged_by_its_name(tmp_path: Path, capfd) -> None:
    convert = ["convert", "demo", str(tmp_path / "merged"), "--adapter"]
    assert run([*convert, "demo-tc"]) == 2
    assert "demo-ct" in capfd.readouterr().err
    assert run([*convert, "demo-ct"]) == 0
