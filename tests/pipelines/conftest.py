"""Scenes that several tests look at."""

from typing import Any

import pytest


@pytest.fixture(scope="session")
def picture() -> Any:
    """Return the picture with the planted squares."""
    import planted_scenes

    return planted_scenes.picture()
