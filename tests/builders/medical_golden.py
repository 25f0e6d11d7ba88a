"""Scores that the official scorers gave to invented inputs, where they stand beside the checkout."""

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[3] / "shared"
_FILE = SHARED / "golden" / "medical_scores.json"

needs_golden = pytest.mark.skipif(
    not _FILE.exists(), reason="the official scorers' outputs are not beside this checkout"
)


def golden(section: str) -> Any:
    return json.loads(_FILE.read_text())[section]
