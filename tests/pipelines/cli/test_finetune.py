"""`finetune`, `data check` and `data show`, as a shell sees them."""

import json
import re
from pathlib import Path

import pytest
import training_sets
from PIL import Image
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
        (["own", "--data", "x", "--output", "y"], "Add --base demo"),
        (["own-lora", "--set", "lora.rank=minus"], "longllava finetune own-lora --show"),
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


def own_rows(folder: Path) -> str:
    """Four rows with a picture, and a fifth whose picture is not there."""
    rows = []
    for number in range(5):
        if number < 4:
            Image.new("RGB", (24, 24), (number * 40, 9, 9)).save(folder / f"{number}.png")
        turns = [("human", f"<image>\nWhat {number}?"), ("gpt", "red " * number + "x")]
        said = [{"from": who, "value": text} for who, text in turns]
        rows.append({"image": f"{number}.png", "conversations": said})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder / "rows.jsonl")


def test_a_part_of_a_file_is_refused_because_a_file_has_none(base, tmp_path: Path, capfd) -> None:
    data = f"{own_rows(tmp_path)}#test"
    output = ["--output", str(tmp_path / "run")]
    for command in (
        ["data", "check", data, "--model", base],
        ["finetune", "own-lora", "--base", base, "--data", data, *output],
    ):
        assert run(command) == 2
        message, remedy = capfd.readouterr().err.splitlines()
        assert (
            message
            == "Refused: The training data is one file, and a file has no parts to choose from."
        )
        assert "Leave out the #" in remedy


def test_a_layout_that_is_none_is_refused_where_a_recipe_is_only_shown(capfd) -> None:
    assert run(["finetune", "own-lora", "--show", "--set", "layout=foo"]) == 2
    said = capfd.readouterr()
    assert "--set layout: There is no layout of training data of that name." in said.err
    assert "layout: foo" not in said.out
    assert run(["finetune", "own-lora", "--show", "--set", "layout=sharegpt"]) == 0


def test_data_show_says_that_a_row_it_shows_is_dropped(base, tmp_path: Path, capfd) -> None:
    command = ["data", "show", own_rows(tmp_path), "--model", base, "--row"]
    assert run([*command, "5"]) == 0
    first, *shown = capfd.readouterr().out.splitlines()
    assert first == (
        "Row 5 is dropped from training (missing_image): the row names an image that is not there."
    )
    assert "[[" in "".join(shown)
    assert run([*command, "4"]) == 0
    assert "dropped" not in capfd.readouterr().out


def test_data_show_says_that_a_row_repeats_an_earlier_one(base, tmp_path: Path, capfd) -> None:
    rows = Path(own_rows(tmp_path))
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join([*lines[:2], lines[0]]))
    assert run(["data", "show", str(rows), "--model", base, "--row", "3"]) == 0
    assert "Row 3 is dropped from training (duplicate)" in capfd.readouterr().out


def test_rows_that_are_too_long_are_answered_with_the_setting_that_holds_them(
    base, tmp_path: Path, capfd
) -> None:
    command = ["finetune", "own-lora", "--base", base, "--data", own_rows(tmp_path), "--output",
               str(tmp_path / "run"), "--set", "tokens_per_row=8"]  # fmt: skip
    assert run(command) == 2
    message, remedy = capfd.readouterr().err.splitlines()
    assert "4 too_long, 1 missing_image" in message
    named = re.search(r"--set tokens_per_row=(\d+) holds the rows that are too long", remedy)
    assert named is not None
    assert "Mend the other rows" in remedy
    check = ["data", "check", own_rows(tmp_path), "--model", base, "--json", "--max-tokens"]
    assert run([*check, named[1]]) == 0
    assert "too_long" not in json.loads(capfd.readouterr().out)["dropped"]
    assert run([*check, str(int(named[1]) - 1)]) == 0
    assert json.loads(capfd.readouterr().out)["dropped"]["too_long"] == 1


def test_a_file_of_a_folder_that_is_no_list_is_named_where_paths_may_be_shown(
    base, tmp_path: Path, capfd
) -> None:
    own_rows(tmp_path)
    (tmp_path / "DOE_JOHN.json").write_text('[{"a": 1}, {"b"')
    command = ["data", "check", str(tmp_path), "--model", base]
    assert run(command) == 2
    hidden = capfd.readouterr().err
    assert "DOE" not in hidden
    assert hidden.rstrip().endswith("--show-paths names it.")
    assert run([*command, "--show-paths"]) == 2
    shown = capfd.readouterr().err.splitlines()
    assert "is not a whole JSON list" in shown[0]
    assert shown[2].endswith(f" is {tmp_path / 'DOE_JOHN.json'}")
    assert shown[2].split()[0] in shown[0]


@pytest.mark.parametrize(
    ("evaluation", "message", "remedy"),
    [
        ("vqa-rad", "has no colon and no place.", "Write --evaluation vqa-rad:FOLDER"),
        ("pathvqa:", "has no place.", "Write --evaluation pathvqa:FOLDER"),
        ("vqa-rad:nope", "--evaluation: The evaluation data is not there", "that exists"),
        ("foo:nope", "--evaluation: There is no layout", "Use one of"),
    ],
)
def test_data_to_be_scored_on_are_refused_under_their_option(
    evaluation: str, message: str, remedy: str, base, tmp_path: Path, capfd
) -> None:
    data = own_rows(tmp_path)
    output = ["--output", str(tmp_path / "run")]
    for command in (
        ["data", "check", data, "--layout", "llava", "--model", base],
        ["finetune", "own-lora", "--base", base, "--data", data, *output],
    ):
        assert run([*command, "--evaluation", evaluation]) == 2
        said = capfd.readouterr().err.splitlines()
        assert message in said[0]
        assert remedy in said[1]
