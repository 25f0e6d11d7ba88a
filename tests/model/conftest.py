"""What every test of this package gets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread_and_one_seed() -> Iterator[None]:
    """Tiny networks run fastest on one thread, and every test draws the same numbers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A small checkpoint in the released layout, with experts."""
    import tiny_released

    tiny_released.write_released(tmp_path / "model", experts=4)
    return tmp_path / "model"
