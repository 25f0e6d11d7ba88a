"""Damaged bytes through every door end in our errors; the long run is benchmarks/fuzz.py."""

import faulthandler
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hostile_doors
import numpy as np
import pytest

from longllava_domains.errors import LongLlavaError

# What one input of a slow door takes sets how many there are.
FEW = {"tokenizer": 6, "config": 8, "safetensors": 15, "bin": 12}
INPUTS = 20


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A hang ends the run with a trace instead of for ever."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("name", hostile_doors.DOORS)
def test_damage_ends_in_our_words(name: str, tmp_path: Path) -> None:
    door = hostile_doors.DOORS[name](tmp_path)
    door.target.write_bytes(door.data)
    if name not in ("bin", "safetensors"):  # which hold a few tensors only
        assert door.judge(door.enter()) in ("accepted", "same")
    rng = np.random.default_rng(12)
    counts: Counter[str] = Counter()
    for _ in range(FEW.get(name, INPUTS)):
        door.target.write_bytes(hostile_doors.damage(door.data, rng))
        try:
            counts[door.judge(door.enter())] += 1
        except LongLlavaError as error:  # anything else is a failure
            counts["leaked" if str(door.target) in str(error) else "refused"] += 1
    assert counts["leaked"] == 0
    assert counts["zero-filled"] == counts["cut"] == 0
    assert counts.total() == FEW.get(name, INPUTS)
