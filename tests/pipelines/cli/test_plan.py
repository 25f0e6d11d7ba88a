"""`longllava plan`, `plan train`, `convert` and `verify` as a user types them."""

import json
from pathlib import Path

import pytest

from longllava_domains.pipelines.cli.main import run


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0
    return capfd.readouterr().out


def test_a_plan_ends_with_three_verdicts(capfd) -> None:
    arguments = [
        "plan",
        "--model",
        "53b",
        "--precision",
        "int8",
        "--images",
        "1000",
        "--gpu-memory",
        "80",
    ]
    lines = printed(capfd, *arguments).splitlines()
    assert lines[-3].startswith("fits: yes (57.5 GB of 80.0 GB)")
    assert lines[-2] == "within the trained length: no (151,064 tokens, trained on 40,960)"
    assert lines[-1].startswith("published evidence: yes (arXiv 2409.02889 reports 1,173 images")
    assert "parameters: 51,894,810,496 (51,570,323,328 in the language model)" in lines
    assert any(line.startswith("largest number of images: 7,") for line in lines)


def test_every_term_is_shown_and_adds_up(capfd) -> None:
    found = json.loads(printed(capfd, "plan", "--model", "9b", "--images", "200", "--json"))
    assert found["all_parameters"] == 9_615_177_600
    total = found["process"] + found["weight_bytes"] + max(found["running"], found["loading"])
    assert found["peak"] == total
    assert found["fits"] is True
    assert found["flops"]["prefill"] > 2 * found["flops"]["reference_prefill"]


def test_keys_and_values_in_8_bits_are_half_and_named(capfd) -> None:
    arguments = ("plan", "--model", "53b", "--images", "1000")
    halved = (*arguments, "--kv-cache-dtype", "int8")
    exact, found = (
        json.loads(printed(capfd, *each, "--json"))["key_values"] for each in (arguments, halved)
    )
    assert found / exact == (8192 + 256) / 16384
    assert "keys and values in 8 bits" in printed(capfd, *halved)
    assert run([*arguments, "--kv-cache-dtype", "int4"]) == 2


def test_a_plan_that_does_not_fit_says_so(capfd) -> None:
    lines = printed(capfd, "plan", "--model", "53b", "--precision", "bfloat16").splitlines()
    assert lines[-3].startswith("fits: no")
    assert "largest number of images: 0" in lines


def test_rates_give_times_and_an_extent_gives_a_spacing(capfd) -> None:
    text = printed(
        capfd, "plan", "--model", "9b", "--images", "300", "--gpu-memory", "12.6",
        "--extent-mm", "400", "--tflops", "150", "--bandwidth", "1500",
    )  # fmt: skip
    assert "s a token (given rates)" in text
    assert "(--every-mm " in text


def test_training_shows_terms_operations_and_hours(capfd) -> None:
    arguments = [
        "plan",
        "train",
        "--model",
        "9b",
        "--rows",
        "1000",
        "--tokens-per-row",
        "40960",
        "--gpus",
        "8",
    ]
    full = printed(capfd, *arguments)
    for term in ("weights (sharded)", "optimizer (sharded)", "logits and loss", "PFLOP", " h at "):
        assert term in full
    assert "trained parameters: 9,311,670,144" in full
    adapter = json.loads(printed(capfd, *arguments, "--lora", "--json"))
    assert adapter["trained_parameters"] < 300_000_000
    assert adapter["hours"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--precision", "int5"],
        ["plan", "--model", "nowhere"],
        ["plan", "--device", "tpu"],
        ["plan", "--images", "-3"],
        ["plan", "--tokens-per-image", "100"],
        ["plan", "train", "--rows", "0"],
    ],
)
def test_bad_input_is_refused_in_words(arguments: list[str], capfd) -> None:
    assert run(arguments) == 2
    assert "Refused" in capfd.readouterr().err


def test_convert_and_verify_write_what_they_say(tmp_path: Path, capfd) -> None:
    target = tmp_path / "int8"
    plain = tmp_path / "plain"
    plain.touch()
    assert run(["convert", "demo", str(target), "--quantization", "int8"]) == 0
    assert json.loads((target / "config.json").read_text())["quantization"] == "int8"
    # Who may read any new file may read the weights, too.
    assert {path.stat().st_mode for path in target.iterdir()} == {plain.stat().st_mode}
    out = tmp_path / "verify.json"
    assert (
        run(["verify", str(target), "--device", "cpu", "--out", str(out), "--precision", "int8"])
        == 0
    )
    found = json.loads(out.read_text())
    assert found["passed"] is True
    assert {check["status"] for check in found["checks"]} <= {
        "pass",
        "skipped",
        "not compared on a processor",
    }


def test_verify_says_all_that_is_wrong_at_once(capfd) -> None:
    arguments = ["verify", "nowhere", "--out", "no/such/place.json", "--precision", "int5"]
    assert run(arguments) == 2
    told = capfd.readouterr().err
    assert "no model of that name" in told
    assert "cannot be written" in told


def test_a_plan_has_one_unit_and_names_what_it_knows(capfd) -> None:
    told = printed(capfd, "plan", "--model", "53b", "--images", "1000", "--gpu-memory", "80")
    assert "of 80.0 GB)" in told
    assert "iB" not in told
    assert run(["plan", "--model", "70b"]) == 2
    assert '"9b" or "53b"' in capfd.readouterr().err


def test_convert_refuses_a_folder_that_is_not_empty(tmp_path: Path, capfd) -> None:
    (tmp_path / "mine").write_text("mine")
    assert run(["convert", "demo", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--gpu-memory", "0"],
        ["plan", "--gpu-memory", "nan"],
        ["plan", "--gpu-memory", "-5"],
        ["plan", "--gpu-memory", "inf", "--json"],
        ["plan", "--extent-mm", "nan"],
        ["plan", "--extent-mm", "-3"],
        ["plan", "--tflops", "0", "--bandwidth", "2000"],
        ["plan", "--tflops", "100", "--bandwidth", "-1"],
        ["plan", "train", "--rows", "10", "--tflops", "0"],
        ["plan", "train", "--rows", "10", "--gpu-memory", "nan"],
        ["convert", "demo", "new", "--experts", "mean", "--down-scale", "nan"],
    ],
)
def test_numbers_that_no_device_has_are_refused_by_name(
    arguments: list[str], capfd, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert any(option in captured.err for option in arguments if option.startswith("--"))
    assert "above 0" in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alone", ["--tflops", "--bandwidth"])
def test_half_a_speed_is_refused_rather_than_ignored(alone: str, capfd) -> None:
    assert run(["plan", alone, "100"]) == 2
    assert "--tflops and --bandwidth" in capfd.readouterr().err


def test_a_conversion_that_is_refused_leaves_no_folder(capfd, tmp_path: Path) -> None:
    assert run(["convert", "demo", str(tmp_path / "new"), "--experts", "median"]) == 2
    assert not list(tmp_path.iterdir())
