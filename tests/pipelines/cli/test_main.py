"""Exit codes and messages, as a shell sees them."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from blank_scene import write_scene
from PIL import Image

import longllava_domains
from longllava_domains.pipelines.cli.console import stdout
from longllava_domains.pipelines.cli.main import run

ROOT = Path(__file__).parents[3]
PHANTOM = str(ROOT / "examples/chest_phantom")
DEMO = ROOT / "longllava_domains/model/demo"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder of inputs that must each be refused in one sentence."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("hello")
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)), tmp_path / "4d.nii.gz"
    )
    for name in ("photo.jpg", "photo.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    shutil.copytree(DEMO, tmp_path / "truncated_model")
    weights = tmp_path / "truncated_model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "text.dcm", "--model", "demo"], "named as DICOM, but it is plain text"),
        (["report", "empty", "--model", "demo"], "empty"),
        (["report", "4d.nii.gz", "--model", "demo"], "4 x 4 x 4 x 3"),
        (["report", "photo.jpg", "--model", "demo"], "no CT slice"),
        (["report", "absent", "--model", "demo"], "no file or folder"),
        (["report", PHANTOM], "--model demo"),
        (["report", PHANTOM, "--model", "truncated_model"], "truncated"),
        (["report", PHANTOM, "--model", "demo", "--preset", "ct-none@1"], "ct-default@1"),
        (
            ["report", PHANTOM, "--model", "demo", "--every-mm", "100", "--out", "no/r.json"],
            "existing folder",
        ),
        (["ask", "photo.png", "What is it?", "--model", "demo"], "--domain"),
        (["views", "photo.png", "--out", "x.png"], "--domain"),
        (["find", PHANTOM, "nodule", "--model", "demo"], "longllava ask"),
        (["find", "scene.tif", "ship", "--model", "demo", "--domain", "ct"], "longllava ask"),
        (["ask", PHANTOM, "Is", "there", "effusion", "--model", "demo"], "in quotes"),
        (
            ["report", PHANTOM, "--model", "demo", "--out", "one.png", "--sheet", "one.png"],
            "for each",
        ),
        (
            [
                "evaluate",
                "vqa-rad",
                "--model",
                "demo",
                "--data",
                ".",
                "--protocol",
                "all",
                "--output",
                "o",
                "--limit",
                "0",
            ],
            "at least 1",
        ),
        (["views", PHANTOM, "--out", "x.png", "--window", "nonsense"], "window"),
        (["views", PHANTOM, "--out", "no/x.png"], "existing folder"),
        (["views", PHANTOM, "--out", "x.xyz"], ".png"),
        (["views", PHANTOM, "--out", "photo"], ".png"),
        (["views", PHANTOM, "--out", "empty"], ".png"),
    ],
)
def test_bad_input_is_refused_with_a_remedy_and_exit_code_2(
    bad: Path, arguments: list[str], said: str, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(bad)
    assert run(arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 2


def test_unknown_commands_are_usage_errors(capfd) -> None:
    assert run(["nosuch"]) == 2
    assert "nosuch" in capfd.readouterr().err


def test_paths_are_revealed_only_on_request(bad: Path, capfd, monkeypatch) -> None:
    secret = bad / "DOE_JOHN"
    secret.mkdir()
    series = secret / "series"
    shutil.copytree(PHANTOM, series)
    broken = sorted(series.iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:-4000])
    assert run(["views", str(secret), "--out", str(bad / "x.png")]) == 2
    assert "DOE" not in "".join(capfd.readouterr())
    assert run(["views", str(secret), "--out", str(bad / "x.png"), "--show-paths"]) == 2
    assert broken.name in capfd.readouterr().err


def test_views_writes_a_contact_sheet(tmp_path: Path, capfd) -> None:
    sheet = tmp_path / "sheet.png"
    assert run(["views", PHANTOM, "--out", str(sheet), "--window", "lung", "--most", "6"]) == 0
    assert f"6 views in {sheet}; left out: 34 (above the most views)." in capfd.readouterr().out
    assert Image.open(sheet).size[0] > 300


def test_inspect_prints_json_without_reading_weights(capfd) -> None:
    assert run(["inspect", "demo", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["missing"] == []


def test_doctor_proves_the_cpu(capfd) -> None:
    assert run(["doctor"]) == 0
    assert "scan: our own, block by block" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    ("scan", "model", "said"),
    [(PHANTOM, "demo", "demonstration model"), (f"{PHANTOM}.nii.gz", "absent", "no DICOM headers")],
)
def test_a_document_that_cannot_be_made_is_refused_before_a_model_is_loaded(
    scan: str, model: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", scan, "--model", model, "--sr", str(tmp_path / "report.dcm")]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert said in told.err
    assert not list(tmp_path.iterdir())


def test_every_file_of_a_report_is_named_and_the_answer_is_printed_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, sheet, evidence = tmp_path / "r.json", tmp_path / "views.png", tmp_path / "evidence"
    arguments = ["report", PHANTOM, "--model", "demo", "--dtype", "float32", "--every-mm", "100"]
    arguments += ["--out", str(out), "--sheet", str(sheet), "--evidence", str(evidence)]
    assert run(arguments) == 0
    told = capfd.readouterr()
    assert "Draft report" in told.out
    assert "neither a probability nor a diagnosis" in told.out
    for path in (out, sheet, evidence):
        assert str(path) in told.err
    assert json.loads(out.read_text())["demo"] is True
    with Image.open(evidence / "pleural_effusion.png") as picture:
        assert picture.size[0] > 200
    assert len(list(evidence.iterdir())) == 18


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["report", PHANTOM, "--model", "absent", "--out", "empty"], "There is a folder"),
        (["report", PHANTOM, "--model", "absent", "--sr", "photo.jpg"], "exists"),
        (["report", PHANTOM, "--model", "absent", "--fhir", "no/r.json"], "existing folder"),
        (["find", "scene.tif", "ship", "--model", "absent", "--out", "x.txt"], ".geojson"),
        (["find", "scene.tif", "ship", "--model", "absent", "--out", "no/x.gpkg"], "existing"),
        (["find", "scene.tif", "ship", "--model", "absent", "--out", "old.geojson"], "exists"),
        (["find", "scene.tif", "ship", "--model", "absent", "--out", "old.parquet"], "exists"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    bad: Path, arguments: list[str], code: str, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(bad)
    Path("old.footprints.geojson").write_text("{}")
    Path("old.parquet").write_text("")
    write_scene("scene.tif")
    before = sorted(bad.iterdir())
    assert run(arguments) == 2
    # The model that is absent too was not even looked for.
    assert code in capfd.readouterr().err
    assert sorted(bad.iterdir()) == before


def test_a_contact_sheet_replaces_the_one_before_it_whole(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.PNG"
    arguments = ["views", PHANTOM, "--out", str(sheet), "--most"]
    assert run([*arguments, "3"]) == 0
    earlier = sheet.read_bytes()
    assert run([*arguments, "2"]) == 0
    assert sheet.read_bytes() != earlier
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
    assert list(tmp_path.iterdir()) == [sheet]


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", PHANTOM, "--model", "absent", "--out"],
        ["report", PHANTOM, "--model", "absent", "--sheet"],
        ["views", PHANTOM, "--out"],
        ["verify", "demo", "--out"],
        ["evaluate", "score", "vqa-rad", "absent.json", "--protocol", "strict", "--out"],
        ["evaluate", "score", "vqa-rad", "absent.json", "--protocol", "strict", "--rows"],
    ],
)
def test_a_file_of_somebody_elses_is_never_replaced(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / (
        "mine.png" if arguments[-1] == "--sheet" or "views" in arguments else "m.json"
    )
    mine.write_text("my own notes")
    assert run([*arguments, str(mine)]) == 2
    assert "no earlier output of this program" in capfd.readouterr().err
    assert mine.read_text() == "my own notes"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["views", "scene.tif", "--out", "x.png", "--window", "lung"], "--window"),
        (["views", "scene.tif", "--out", "x.png", "--every-mm", "3"], "--every-mm"),
        (["views", "scene.tif", "--out", "x.png", "--hu", "trust", "--most", "9"], "--hu and --m"),
        (["ask", "scene.tif", "Where?", "--model", "absent", "--every-mm", "-3"], "--every-mm"),
        (["ask", PHANTOM, "Where?", "--model", "absent", "--max-tokens", "9000"], "--max-tokens"),
        (["ask", PHANTOM, " \n", "--model", "absent"], "The question is empty"),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(
    arguments: list[str], named: str, bad: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(bad)
    write_scene("scene.tif")
    assert run(arguments) == 2
    assert named in capfd.readouterr().err
    assert not (bad / "x.png").exists()


def as_a_process(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    program = "from longllava_domains.pipelines.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, timeout=60, **options
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
def test_a_result_that_cannot_be_printed_is_refused_in_one_sentence() -> None:
    with open("/dev/full", "wb") as full:
        done = as_a_process("series", PHANTOM, stdout=full)
    assert done.returncode == 2
    said = done.stderr.decode()
    assert said.startswith("Refused: The result cannot be printed (No space left on device).")
    assert len(said.splitlines()) == 2


def test_what_a_terminal_cannot_spell_is_escaped(tmp_path: Path) -> None:
    sheet = tmp_path / "\u00fc\u2603.png"
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = as_a_process(
        "views", PHANTOM, "--most", "1", "--out", str(sheet), stdout=subprocess.PIPE, env=ascii_only
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xfc\\u2603.png" in done.stdout
    assert sheet.exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_json_in_any_encoding(encoding: str, monkeypatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding))
    told = {"text": "\u00fc \u2603 \U0001f6a2 [red]"}
    stdout.print_object(told)
    assert json.loads(written.getvalue().decode(encoding)) == told


def test_the_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out.strip() == f"longllava-domains {longllava_domains.__version__}"


@pytest.mark.parametrize("command", [[], ["report"], ["plan"]])
def test_help_answers_to_its_short_name(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "-h"]) == 0
    assert "Usage" in capfd.readouterr().out


def test_the_doctor_speaks_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["failed"] is False
    assert {"name", "status", "detail"} <= set(told["checks"][0])


def test_one_view_is_not_called_views(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sheet = str(tmp_path / "sheet.png")
    assert run(["views", PHANTOM, "--out", sheet, "--most", "1"]) == 0
    assert capfd.readouterr().out.startswith(f"1 view in {sheet}; left out: 39 ")


def test_a_search_saves_in_several_forms_and_leaves_no_journal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scene("scene.tif")
    files = ["a.geojson", "a.gpkg", "a.png", "a.json"]
    outs = [word for name in files for word in ("--out", name)]
    arguments = ["find", "scene.tif", "ship", "--model", "demo", "--max-new-tokens", "1"]
    # One word cannot be read as boxes, so its chip counts as failed: exit code 3.
    assert run([*arguments, *outs, "--chip-px", "64", "--overlap", "0"]) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert "0 ships in 1 chip, 1 chip with an answer cut short" in told.err
    for name in files:
        assert name in told.err.partition("written: ")[2]
    assert not list(tmp_path.glob("*.answers.jsonl"))


def test_an_answer_says_what_was_shown_and_what_was_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "scene.tif"
    write_scene(str(scene))
    arguments = ["ask", str(scene), "What?", "--model", "demo", "--max-new-tokens", "2"]
    assert run(arguments) == 0
    assert "the scene at 0.5 m per pixel; left out: nothing." in capfd.readouterr().err


def test_two_dates_of_one_place_are_asked_about_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.tif", tmp_path / "after.tif"
    for path in (before, after):
        write_scene(str(path))
    arguments = ["ask", str(before), str(after), "What changed?", "--model", "demo"]
    assert run([*arguments, "--max-new-tokens", "2"]) == 0
    assert "Shown: 4 views" in capfd.readouterr().err
    assert run(["ask", PHANTOM, PHANTOM, "What changed?", "--model", "absent"]) == 2
    assert "asked about alone" in capfd.readouterr().err


@pytest.mark.parametrize(
    "option", ["--aoi=-75.0,40.0,-74.9,40.1", "--bands=1,2,9", "--crs=nonsense"]
)
def test_wishes_of_a_raster_reach_its_loader(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "scene.tif"
    write_scene(str(scene))
    assert run(["views", str(scene), "--out", str(tmp_path / "sheet.png"), option]) == 2
    assert capfd.readouterr().err.startswith("Refused:")


def test_send_sends_both_files_that_sr_wrote(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from longllava_domains.pipelines.pacs import send as sending

    gone: list[str] = []

    def take(path: Path, **_: object) -> sending.SendReceipt:
        gone.append(path.name)
        return sending.SendReceipt("0" * 64, "model", "https://pacs/x", 200)

    monkeypatch.setattr(sending, "send", take)
    for name in ("r.dcm", "r_findings.dcm"):
        (tmp_path / name).touch()
    audit = ["--audit", str(tmp_path / "audit.log")]
    assert run(["send", str(tmp_path / "r.dcm"), "--to", "https://pacs/x", *audit]) == 0
    assert gone == ["r.dcm", "r_findings.dcm"]
    assert "r_findings.dcm sent to https://pacs/x" in capfd.readouterr().out
