"""A refusal begins with the option that was typed, where the error itself names none."""

import re
from pathlib import Path

import pytest
import typer

from longllava_domains.pipelines.cli.main import app, run
from longllava_domains.pipelines.cli.options.named import OPTIONS, with_option

ROOT = Path(__file__).parents[3]
PHANTOM = str(ROOT / "examples/chest_phantom")
VIEWS = ["views", PHANTOM, "--out", "v.png"]
REPORT = ["report", PHANTOM, "--model", "demo"]
ARCHIVE = ["archive", "run", PHANTOM, "--domain", "ct", "--output", "ar"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*VIEWS, "--window", "10"], "Refused: --window 10: There is no window preset"),
        ([*VIEWS, "--window=10"], "Refused: --window 10: There is no window preset"),
        ([*VIEWS, "--purpose", "tea"], "Refused: --purpose tea: There is no such purpose"),
        ([*VIEWS, "--repair", "all"], "Refused: --repair all: There is no such repair"),
        ([*VIEWS, "--domain", "xray"], "Refused: --domain xray: There is no such domain"),
        ([*REPORT, "--mode", "fast"], "Refused: --mode fast: There is no such mode"),
        ([*REPORT, "--preset", "mine"], "Refused: --preset mine: There is no CT preset"),
        ([*REPORT, "--calibration", "DOE_JOHN.json"], "Refused: --calibration: The file is not"),
        (["report", PHANTOM, "--model", "DOE"], "Refused: --model: There is no model of that name"),
        ([*ARCHIVE, "--task", "sing"], "Refused: --task sing: There is no such task"),
        (
            [*ARCHIVE, "--task", "views", "--dry-run", "--deadline", "soon"],
            "Refused: --deadline soon: The deadline is no time.",
        ),
        (["plan", "--device", "tpu"], "Refused: --device tpu: There is no plan for the device"),
        (["data", "check", PHANTOM, "--layout", "pile", "--model", "demo"], "--layout pile: There"),
        (["evaluate", "needle", "--frames", "a,b", "--model", "demo"], "--frames cannot be a,b"),
        (["evaluate", "scaling", "wave", "--model", "demo"], "There is no curve 'wave'."),
        (["finetune", "own-lora", "--set", "packing=x", "--show"], "--set packing must be 'isolated'"),
    ],
)  # fmt: skip
def test_what_was_typed_stands_before_a_message_that_names_no_option(
    arguments: list[str], said: str, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert said in told
    assert "DOE" not in told
    assert not list(tmp_path.iterdir())


def test_a_scan_that_finds_nothing_leaves_no_folder(tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    arguments = ["archive", "run", "nowhere", "--domain", "ct", "--task", "views", "--output", "ar"]
    assert run(arguments) == 2
    assert not (tmp_path / "ar.private").exists()
    assert "no file or folder" in capfd.readouterr().err


MESSAGE = "There is no such domain."


@pytest.mark.parametrize(
    ("code", "message", "options", "arguments"),
    [
        ("domain.unknown", MESSAGE, {"--domain"}, ["ask", "--model", "demo"]),  # not typed
        ("domain.unknown", MESSAGE, {"--model"}, ["ask", "--domain", "x"]),  # not of this command
        ("domain.unknown", "--domain x is none.", {"--domain"}, ["ask", "--domain", "x"]),  # named
        ("no.such.code", MESSAGE, {"--domain"}, ["ask", "--domain", "x"]),
    ],
)
def test_a_message_stays_as_it_is_where_nothing_is_to_be_added(
    code: str, message: str, options: set[str], arguments: list[str]
) -> None:
    assert with_option(message, code, options, arguments) == message


def test_of_an_option_given_twice_no_value_is_picked() -> None:
    arguments = ["views", "--window", "lung", "--window", "tea"]
    told = with_option("None.", "window.unknown", {"--window"}, arguments)
    assert told == "--window: None."


def commands(group: typer.Typer | object) -> list:
    below = getattr(group, "commands", {}).values()
    return [group, *(each for one in below for each in commands(one))]


def test_every_code_is_raised_somewhere_and_every_option_is_of_some_command() -> None:
    folders = ("longllava_domains", "adapters", "pipelines")
    raised = {
        code
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for code in re.findall(r'"([a-z_]+\.[a-z_]+)"', path.read_text(encoding="utf-8"))
        if path.name != "named.py"
    }
    known = {
        name
        for command in commands(typer.main.get_command(app))
        for parameter in command.params
        for name in parameter.opts
    }
    assert set(OPTIONS) <= raised
    assert {name for names in OPTIONS.values() for name in names} <= known
