"""Slides on disk, written once per hazard."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from the name of a builder to the file it writes with its defaults."""
    import slide_builder

    folder = tmp_path_factory.mktemp("slides")

    def make(kind: str) -> Path:
        suffix = {"tiff": ".tif", "svs": ".svs", "ome": ".ome.tif", "dicom": ""}[kind]
        path: Path = folder / f"{kind}{suffix}"
        if not path.exists():
            getattr(slide_builder, kind)(path)
        return path

    return make
