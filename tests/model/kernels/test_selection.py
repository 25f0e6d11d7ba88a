"""A kernel is used because it is present, proved and fastest, and the report says so."""

import time
import warnings
from typing import Any, Never

import pytest
import torch

from longllava_domains.model.kernels.conv.choice import chosen_convolution
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.kernels.scan.blocked import blocked_scan
from longllava_domains.model.kernels.scan.choice import _scan_case, chosen_scan, scan_error
from longllava_domains.model.kernels.selection import TOLERANCE, choose
from longllava_domains.provenance import Provenance

CPU = torch.device("cpu")


def forgets(inputs) -> Any:
    """Start at zero, as stock kernels do."""
    return blocked_scan(inputs._replace(initial_state=torch.zeros_like(inputs.initial_state)))


def ignores_samples(inputs) -> Any:
    return blocked_scan(inputs._replace(resets=None))


def slow(inputs) -> Any:
    time.sleep(0.05)
    return blocked_scan(inputs)


def broken(inputs) -> Never:
    raise RuntimeError("built for another torch")


def absent() -> Never:
    raise ImportError("not installed")


def pick(**candidates) -> Any:
    case = _scan_case(CPU, 1, 40, 16)
    loaders = {
        name: (kernel if kernel is absent else lambda kernel=kernel: kernel)
        for name, kernel in candidates.items()
    }
    return choose(
        loaders,
        blocked_scan,
        proof=lambda kernel: scan_error(kernel, case),
        work=lambda kernel: kernel(case),
        device=CPU,
    )


def test_the_fastest_that_is_right_is_used() -> None:
    choice = pick(forgets=forgets, slow=slow, fast=blocked_scan, absent=absent, broken=broken)
    assert choice.name == "fast"
    assert choice.verdicts == {
        "forgets": "wrong",
        "slow": "proved",
        "fast": "proved",
        "absent": "absent",
        "broken": "failed:RuntimeError",
    }
    assert set(choice.milliseconds) == {"slow", "fast"}


def test_without_a_proved_kernel_the_fallback_is_announced() -> None:
    with pytest.warns(UserWarning, match=r"forgets wrong, apart wrong.*doctor"):
        choice = pick(forgets=forgets, apart=ignores_samples)
    assert choice.name == "blocked"
    assert choice.kernel is blocked_scan


def test_the_proof_would_catch_a_kernel_that_starts_at_zero() -> None:
    assert scan_error(forgets, _scan_case(CPU, 1, 40, 16)) > 100 * TOLERANCE
    assert scan_error(blocked_scan, _scan_case(CPU, 1, 40, 16)) < 1e-5


def test_on_the_cpu_plain_torch_runs_without_a_word_even_beside_cuda_packages(
    tmp_path, monkeypatch
) -> None:
    for package in ("mamba_ssm", "causal_conv1d"):
        (tmp_path / f"{package}.py").write_text("raise AssertionError('imported on the CPU')")
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen_scan(CPU) is blocked_scan
        assert chosen_convolution(CPU).__module__.endswith("conv.blocked")


def test_provenance_takes_the_report() -> None:
    report = kernel_report(CPU)
    assert report["scan"]["chosen"] == "blocked"
    assert Provenance(kernels=report)["kernels"] == report
