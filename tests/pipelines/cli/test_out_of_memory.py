"""A full memory ends in one sentence, whoever runs out of it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.devices.free_memory import address_space_bytes
from longllava_domains.pipelines.memory_remedies import out_of_memory

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, resource.RLIM_INFINITY))
import typer
from longllava_domains.pipelines.cli import main
@main.app.command()
def fill():
    {fill}
print(main.run(["fill"]))
"""


@pytest.mark.parametrize(
    "fill",
    ["bytearray(2**40)", "import torch; torch.zeros(2**38)", "import numpy; numpy.ones(2**38)"],
)
def test_under_a_limit_it_ends_in_one_refusal(fill: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(fill=fill)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2\n"
    assert "Refused: The memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    assert out_of_memory(RuntimeError("shape mismatch")) is None
    assert isinstance(out_of_memory(MemoryError()), MemoryBudgetError)
    assert isinstance(
        out_of_memory(torch.OutOfMemoryError("CUDA out of memory")), MemoryBudgetError
    )


def test_a_limit_on_the_address_space_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    proc = Path("/proc")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 0))
    assert list(address_space_bytes(proc)) == []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**50, 0))
    (free,) = address_space_bytes(proc)
    assert 2**49 < free < 2**50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 0))
    assert list(address_space_bytes(proc)) == [0]
