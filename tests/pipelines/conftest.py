"""Scenes that several tests look at."""

import sys
from pathlib import Path
from typing import Any

import pytest

# The builder of scenes is a plain module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def picture() -> Any:
    """Return the picture with the planted squares."""
    import planted_scenes

    return planted_scenes.picture()
