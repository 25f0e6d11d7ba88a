"""`longllava evaluate ...` as a user types it: score, explain, protocols, data, check."""

import json
from pathlib import Path

import pytest

from longllava_domains.pipelines.cli.main import run

REFERENCES = [
    {"qid": k, "image_name": f"{k // 2}.jpg", "question": "?", "answer": ("yes", "no")[k % 2], "answer_type": "CLOSED"}
    for k in range(40)
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a benchmark, good answers to it, and answers of a blind run."""
    (tmp_path / "data").mkdir()
    for name, rows in (("train", REFERENCES[:4]), ("test", REFERENCES)):
        (tmp_path / f"data/{name}.json").write_text(json.dumps(rows))
    answers = {"good": lambda row: f"{row['answer']}, I see", "blind": lambda row: "yes"}
    for name, say in answers.items():
        lines = (json.dumps({"qid": row["qid"], "text": say(row)}) for row in REFERENCES)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["evaluate", *arguments]) == 0
    return capfd.readouterr().out


SCORE = ("score", "vqa-rad", "good.jsonl", "--data", "data", "--protocol", "llava-med")


def test_a_score_stands_beside_constants_and_blind_answers(files: Path, capfd) -> None:
    out = printed(capfd, *SCORE, "--blind", "blind.jsonl", "--draws", "200")
    for said in (
        "llava-med@b9a98a73",
        "oracle",
        "always yes no",
        "blind",
        "closed/accuracy less blind",
    ):
        assert said in out
    assert "2 of 20 test images are in the training split" in out


def test_cards_and_rows_are_written(files: Path, capfd) -> None:
    found = json.loads(
        printed(capfd, *SCORE, "--out", "card.html", "--rows", "rows.csv", "--json", "--synthetic")
    )
    assert found["benchmark"] == "SYNTHETIC vqa-rad"
    assert found["settings"]["data"]["build"] == "mevf"
    assert found["intervals"]["closed/accuracy"][1] == 1.0
    assert "SYNTHETIC" in (files / "card.html").read_text()
    assert len((files / "rows.csv").read_text().splitlines()) == 41


def test_settings_are_given_by_name(files: Path, capfd) -> None:
    out = printed(
        capfd, *SCORE, "--set", "closed=yes-no", "--set", "denominator=answered", "--json"
    )
    settings = json.loads(out)["settings"]
    assert (settings["closed"], settings["denominator"]) == ("yes-no", "answered")


def test_one_file_is_explained_under_every_protocol(files: Path, capfd) -> None:
    out = printed(
        capfd, "explain", "vqa-rad", "good.jsonl", "--references", "data/test.json", "--shown", "1"
    )
    assert "one file, 8 protocols" in out
    assert "40 rows are scored differently" in out
    assert "  1.00 first-yes-no: the first is yes" in out
    assert "  0.00 strict: not equal" in out
    assert out.count("row ") == 1


def test_protocols_and_their_settings_are_listed(files: Path, capfd) -> None:
    assert "ct-clip@a2a155c6" in printed(capfd, "protocols")
    assert "denominator='auto'" in printed(capfd, "protocols", "vqa-rad")


def test_a_folder_says_what_it_is_and_gives_a_disjoint_split(files: Path, capfd) -> None:
    out = printed(capfd, "data", "vqa-rad", "data", "--disjoint", "train.jsonl")
    assert "build mevf" in out
    assert "CC0" in out
    assert (files / "train.jsonl").read_text() == ""


def test_a_published_row_is_checked(files: Path, capfd) -> None:
    row = ["--accuracy", "0.867", "--precision", "0.355", "--recall", "0.776"]
    assert "prevalence of 0.0814" in printed(capfd, "check", "--prevalence", "0.18", *row)
    assert "can belong together" in printed(capfd, "check", "--prevalence", "0.0814", *row)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "vqa-rad", "good.jsonl", "--protocol", "llava"], "llava-med@b9a98a73"),
        (["score", "vqa-rad", "none.jsonl", "--protocol", "strict"], "no file of predictions"),
        (["explain", "vqa", "good.jsonl"], "Choose one of ct-rate"),
        ([*SCORE, "--set", "closed"], "has no value"),
        ([*SCORE, "--references", "data/test.json"], "Give one of them"),
        (["protocols", "vqa"], "Choose one of ct-rate"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_choices(
    files: Path, capfd, arguments, said
) -> None:
    assert run(["evaluate", *arguments]) == 2
    assert said in capfd.readouterr().err


def test_a_policy_for_missing_answers_that_is_none_is_refused_with_those_that_are(
    files: Path, capfd
) -> None:
    for typed in ("drp", "None"):
        assert run(["evaluate", *SCORE, "--missing", typed]) == 2
        message, remedy = capfd.readouterr().err.splitlines()
        assert f"--missing cannot be '{typed}'." in message
        assert remedy.endswith("Choose one of error, wrong, drop, or leave it out.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "foo=1"], "of vqa-rad has no setting foo."),
        (["--set", "foo=1", "--protocol", "strict"], "of vqa-rad have no setting foo."),
        (["--missing", "drp"], "--missing cannot be 'drp'."),
    ],
)
def test_a_run_refuses_a_setting_of_no_protocol_before_the_model_is_loaded(
    arguments: list[str], message: str, files: Path, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("longllava_domains.pipelines.cli.evaluation.benchmark.load", refuse)
    command = [
        "evaluate",
        "vqa-rad",
        "--model",
        "demo",
        "--data",
        "data",
        "--protocol",
        "llava-med",
    ]
    assert run([*command, "--no-controls", *arguments]) == 2
    assert message in capfd.readouterr().err
