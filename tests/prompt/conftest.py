"""Sequences of small views, the packaged tokenizer, and the released one where it is at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import longllava_domains
from longllava_domains.prompt import PromptTokenizer
from longllava_domains.visual import Layout, SlicePlace, View, VisualSequence

GOLDEN = Path(__file__).parents[3] / "shared/golden"

Show = Callable[..., VisualSequence]


@pytest.fixture(scope="session")
def show() -> Show:
    """Build a sequence of ``count`` grey views in some layout."""

    def build(
        count: int, layout: Layout = "images", grid: tuple[int, int] | None = None
    ) -> VisualSequence:
        view = View(np.full((4, 4, 3), 128, np.uint8), SlicePlace(0, 0.0, 1.0, "lung"))
        return VisualSequence((view,) * count, layout, grid)

    return build


@pytest.fixture(scope="session")
def golden() -> Path:
    if not GOLDEN.is_dir():
        pytest.skip("../shared/golden is not present; the demonstration tokenizer's cases are")
    return GOLDEN


@pytest.fixture(scope="session")
def released(golden: Path) -> PromptTokenizer:
    return PromptTokenizer.from_folder(golden / "tokenizer")


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return Path(longllava_domains.__file__).parent / "model/demo"


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> PromptTokenizer:
    return PromptTokenizer.from_folder(demo_folder)
