"""Where commands write: outside of what they read, in a folder that is there, and each file is named."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image

from longllava_domains.pipelines.cli.main import app, run

PHANTOM = Path(__file__).parents[3] / "examples/chest_phantom"
INSIDE = "would lie in the folder that is read"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CT, a picture in a folder, and folders of other kinds."""
    desk = tmp_path_factory.mktemp("desk")
    shutil.copytree(PHANTOM, desk / "CT")
    for name in ("data", "reports", "base"):
        (desk / name).mkdir()
    Image.new("RGB", (64, 64)).save(desk / "data/photo.png")
    (desk / "labels.csv").write_text("VolumeName,Lung nodule\nvalid_1_a_1.nii.gz,1\n")
    (desk / "note.txt").write_text("a note")
    (desk / "base/config.json").write_text("{}")
    (desk / "reports/valid_1_a_1.json").write_text("{}")
    return desk


def refused(arguments: list[str], desk: Path, capfd, monkeypatch) -> str:
    """What a refusal says; it leaves nothing behind."""
    monkeypatch.chdir(desk)
    before = sorted(desk.rglob("*"))
    assert run(arguments) == 2
    assert sorted(desk.rglob("*")) == before
    return str(capfd.readouterr().err)


# "absent" as a model: what is refused before a model is looked for does not notice.
REPORT = ["report", "CT", "--model", "absent"]
RUN = ["archive", "run", "CT", "--task", "views", "--domain", "ct"]
SCAN = ["archive", "scan", "CT", "--domain", "ct"]
FINETUNE = ["finetune", "own-lora", "--base", "demo", "--data", "data#a.json", "--output"]
BENCHMARK = ["evaluate", "vqa-rad", "--model", "absent", "--data", "data", "--protocol", "all"]
INTO_INPUT = [
    [*REPORT, "--out", "CT/r.json"],
    [*REPORT, "--sheet", "CT/r.png"],
    [*REPORT, "--evidence", "CT"],
    [*REPORT, "--evidence", "CT/evidence"],
    [*REPORT, "--sr", "CT/r.dcm"],
    [*REPORT, "--fhir", "CT/r.json"],
    ["views", "CT", "--out", "CT/sheet.png"],
    ["views", "CT", "--out", "sheet.png", "--geojson", "CT/v.geojson"],
    ["find", "data", "ship", "--model", "absent", "--out", "data/found.json"],
    ["find", "data", "ship", "--model", "absent", "--keep-in", "data/kept.jsonl"],
    [*RUN, "--output", "CT"],
    [*RUN, "--output", "CT/results"],
    [*RUN, "--output", "results", "--documents", "CT/private"],
    [*RUN, "--output", "results", "--ledger", "CT/ledger"],
    [*RUN, "--output", "results", "--manifest", "CT/m.parquet"],
    [*RUN, "--output", "results", "--secret", "CT/secret"],
    [*SCAN, "-o", "CT/m.parquet"],
    [*SCAN, "-o", "CT/new/m.parquet"],
    [*SCAN, "-o", "m.parquet", "--linkage", "CT/l.parquet"],
    [*SCAN, "-o", "m.parquet", "--secret", "CT/secret"],
    ["convert", "base", "base/again"],
    [*FINETUNE, "data/out"],
    ["calibrate", "reports", "labels.csv", "--output", "reports/c.json", "--population", "us"],
    [*BENCHMARK, "--output", "data/run"],
    ["reproduce", "paper", "--table", "2", "--model", "absent", "--data", "data", "--output", "data/x"],
    ["evaluate", "scaling", "frames", "--model", "absent", "--data", "data", "--output", "data/x"],
    ["evaluate", "data", "vqa-rad", "data", "--disjoint", "data/t.jsonl"],
    ["evaluate", "own", "labels.csv", "--results", "reports", "--out", "reports/card.md"],
    ["evaluate", "score", "vqa-rad", "labels.csv", "--protocol", "x", "--data", "data", "--out",
     "data/card.md"],
    ["evaluate", "export", "vqa-rad", "labels.csv", "--data", "data", "--for", "lmms-eval", "--out",
     "data/e.json"],
    ["evaluate", "lmms-task", "vqa-rad", "--data", "data", "--output", "data/task"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", INTO_INPUT, ids=" ".join)
def test_nothing_is_written_into_a_folder_that_is_read(
    arguments: list[str], desk: Path, capfd, monkeypatch
) -> None:
    told = refused(arguments, desk, capfd, monkeypatch)
    assert INSIDE in told
    assert "Choose a place outside that folder." in told


def commands(command, name: str = "") -> Iterator[tuple[str, set[str]]]:
    below = getattr(command, "commands", {})
    for word, each in below.items():
        yield from commands(each, f"{name} {word}".strip())
    if not below:
        yield name, {option for parameter in command.params for option in parameter.opts}


def test_every_command_with_an_input_and_an_output_is_tried_above() -> None:
    outputs = {"--out", "--output", "--evidence", "--sheet", "--sr", "--fhir", "--geojson"}
    # They read no folder of the user's, or write beside what they read because that is asked.
    apart = {"verify", "evaluate phantom", "evaluate efficiency", "evaluate needle", "ask"}
    benchmarks = {"evaluate vqa-rad"}
    with_output = {
        name for name, options in commands(typer.main.get_command(app)) if options & outputs
    }
    tried = {" ".join(line[:length]) for line in INTO_INPUT for length in (1, 2)} | apart
    missing = with_output - tried
    assert all(BENCHMARK[:1] == name.split()[:1] for name in missing), missing
    from longllava_domains.pipelines.benchmark.plan import BENCHMARKS

    assert missing == {f"evaluate {name}" for name in BENCHMARKS} - benchmarks


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["convert", "demo", "a/b"], "The folder that shall hold the new one is not there."),
        ([*FINETUNE, "a/b"], "--output: The folder that shall hold the new one is not there."),
        ([*RUN, "--output", "a/b"], "--output: The folder that shall hold the new one is not there."),
        ([*SCAN, "-o", "a/b/m.parquet"], "--output: The folder that shall hold the new one is"),
        ([*SCAN, "-o", "m.parquet", "--linkage", "a/l.parquet"], "--linkage: The folder of that"),
        ([*BENCHMARK, "--output", "a/b"], "The folder that shall hold the new one is not there."),
        ([*REPORT, "--evidence", "a/b"], "--evidence: The folder that shall hold the new one is"),
        ([*REPORT, "--sheet", "a/b.png"], "--sheet: The file cannot be written (No such file"),
        ([*REPORT, "--sr", "a/b.dcm"], "--sr: The file cannot be written (No such file"),
        (["convert", "demo", "note.txt"], "There is a file where the folder shall be."),
        ([*RUN, "--output", "note.txt"], "--output: There is a file where the folder shall be."),
        ([*REPORT, "--evidence", "note.txt"], "--evidence: There is a file where the folder shall"),
        (["convert", "demo", "demo"], "--model demo is the packaged model."),
        (["finetune", "own-lora", "--show", "--output", "demo"], "is the packaged model."),
    ],
)  # fmt: skip
def test_a_slip_in_the_place_of_an_output_makes_no_folders(
    arguments: list[str], said: str, desk: Path, capfd, monkeypatch
) -> None:
    assert said in refused(arguments, desk, capfd, monkeypatch)


@pytest.mark.parametrize(
    "arguments", [[*SCAN, "-o", "m.xyz"], [*SCAN, "-o", "m.parquet", "--linkage", "l.csv"]]
)
def test_a_scan_writes_no_file_whose_ending_says_something_else(
    arguments: list[str], desk: Path, capfd, monkeypatch
) -> None:
    assert "End it with .parquet." in refused(arguments, desk, capfd, monkeypatch)


def test_a_scan_names_every_file_that_it_wrote(desk: Path, tmp_path: Path, capfd) -> None:
    place = tmp_path / "m.parquet"
    secret = ["--secret", str(tmp_path / "secret")]
    assert (
        run(["archive", "scan", str(desk / "CT"), "--domain", "ct", "-o", str(place), *secret]) == 0
    )
    told = capfd.readouterr().err.replace("\n", "")
    left = {path for path in tmp_path.iterdir() if path.name != "secret"}
    assert set(told.removeprefix("written: ").split(", ")) == {str(path) for path in left}
    assert len(left) == 3


def test_an_archive_is_not_scanned_for_an_adapter_that_is_not_there(
    desk: Path, capfd, monkeypatch
) -> None:
    score = ["archive", "run", "CT", "--task", "ct-findings", "--domain", "ct", "--model", "demo"]
    told = refused(
        [*score, "--adapter", "demo-ctt", "--output", "results"], desk, capfd, monkeypatch
    )
    assert "There is no adapter of that name" in told


def test_the_option_at_fault_is_named_where_a_search_has_two_outputs(
    desk: Path, capfd, monkeypatch
) -> None:
    search = ["find", "data/photo.png", "ship", "--model", "absent", "--domain", "remote_sensing"]
    told = refused([*search, "--out", "f.geojson", "--keep-in", "none/k"], desk, capfd, monkeypatch)
    assert "--keep-in: The folder of that file is not there" in told


def test_a_file_whose_name_begins_with_a_dash_leads_to_its_place(
    desk: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    shutil.copy(desk / "data/photo.png", tmp_path / "-x.png")
    monkeypatch.chdir(tmp_path)
    assert run(["views", "-x.png", "--out", "s.png"]) == 2
    assert "Write ./ before it" in capfd.readouterr().err
    assert (
        run(["ask", "./-x.png", "-" * 3 + "why" * 200, "--model", "absent"]) == 2
    )  # no name so long
    assert run(["views", "./-x.png", "--out", "s.png", "--domain", "image"]) == 0


@pytest.mark.parametrize("question", ["-is there an effusion?", "--help me with this", "- and?"])
def test_a_question_that_begins_with_a_dash_leads_to_one_that_is_asked(
    question: str, desk: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(desk)
    ask = ["ask", "data/photo.png", "--model", "demo", "--domain", "image", "--max-new-tokens", "1"]
    assert run([ask[0], ask[1], question, *ask[2:]]) == 2
    assert "Write a space before the dash, inside the quotes." in capfd.readouterr().err
    assert run([ask[0], ask[1], f" {question}", *ask[2:]]) == 0


def test_a_value_that_begins_with_a_dash_is_no_question(desk: Path, capfd, monkeypatch) -> None:
    command = ["archive", "run", "data", "--task", "ask", "--domain", "ct", "--output", "r"]
    told = refused([*command, "--question", "-is there air?"], desk, capfd, monkeypatch)
    assert "dash" not in told


def test_options_behind_two_dashes_are_told_from_words(desk: Path, capfd, monkeypatch) -> None:
    command = ["ask", "--", "data/photo.png", "why?", "--model", "demo"]
    told = refused(command, desk, capfd, monkeypatch)
    assert "Write the options before it." in told
