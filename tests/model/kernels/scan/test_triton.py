"""Our Triton kernels: right in the interpreter, and compiled for two generations of GPUs.

Each test is a process of its own, because Triton decides at import whether it interprets.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is published for Linux only")


def run(program: str, **environment: str) -> dict:
    finished = subprocess.run(
        [sys.executable, str(Path(__file__).parents[3] / "builders" / program)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_kernels_equal_the_reference_in_the_interpreter() -> None:
    for case, errors in run("triton_interpreted.py", TRITON_INTERPRET="1").items():
        assert errors["forward"] < 2e-6, case
        assert errors["backward"] < 2e-6, case


def test_grouped_experts_equal_dequantised_products_in_the_interpreter() -> None:
    errors = run("experts_interpreted.py", TRITON_INTERPRET="1")
    assert errors["product"] < 2e-6
    assert errors["experts, float32"] < 2e-6
    # Rounded where the plain path rounds, or less often.
    assert errors["experts, float16, in eps"] <= 2 * errors["one by one, float16, in eps"]


def test_kernels_compile_for_ampere_and_hopper() -> None:
    sizes = run("triton_compiled.py", TRITON_INTERPRET="0")
    assert len(sizes) == 12
    assert all(size > 1000 for size in sizes.values())
