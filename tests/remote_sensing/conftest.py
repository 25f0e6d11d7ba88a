"""Rasters on disk, written once per hazard."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def raster_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from the name of a hazard to a file that has it."""
    import raster_builder

    folder = tmp_path_factory.mktemp("rasters")

    def make(hazard: str) -> Path:
        path: Path = folder / f"{hazard}.tif"
        if not path.exists():
            getattr(raster_builder, hazard)(path)
        return path

    return make
