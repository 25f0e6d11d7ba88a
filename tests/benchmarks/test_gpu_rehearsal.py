"""The benchmark for GPUs runs on the CPU on the smallest shape, so that it will run on the day."""

import json
import runpy
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "random_weights.py"


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_every_check_passes_in_a_rehearsal(precision: str, monkeypatch, capsys) -> None:
    run(monkeypatch, "--model", "demo", "--device", "cpu", "--precision", precision,
        "--views", "2", "--answer", "3")  # fmt: skip
    first, rest = capsys.readouterr().out.split("\n", 1)
    planned, found = json.loads(first), json.loads(rest)
    assert planned["tokens"] == 2 * (4 + 7) + 40
    assert {check["name"]: check["status"] for check in found["checks"]} == {
        "kernels against float64": "pass",
        "chunks against one forward": "pass",
        "eight rows against one": "pass",
        "speed and memory against the plan": "not compared on a processor",
    }
    assert set(found["kernels"]) >= {"scan", "convolution", "int8_experts"}
    assert found["prefill_at_limit_s"] > 0
    assert found["decode_at_limit_s"] > 0


def test_what_is_built_is_what_a_checkpoint_holds() -> None:
    build = runpy.run_path(str(SCRIPT))["build"]
    network = build("demo", "int8", torch.device("cpu"))
    scales = [b for name, b in network.named_buffers() if name.endswith("_scale")]
    assert scales
    assert {scale.dtype for scale in scales} == {torch.float32}
    assert not network.config.trained
    codes = [b for _, b in network.named_buffers() if b.dtype == torch.int8]
    assert len(codes) == len(scales)
    assert all(-127 <= int(b.min()) < int(b.max()) <= 127 for b in codes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        # More than any machine of these tests holds.
        (["--model", "53b", "--device", "cpu", "--views", "1000000"], "need"),
        (["--device", "cuda:99"], "device"),
    ],
)
def test_what_cannot_run_is_refused_before_it_starts(
    arguments: list[str], says: str, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
