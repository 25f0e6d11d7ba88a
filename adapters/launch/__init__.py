"""Configurations that start a training on several processes; see docs/training.md."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
"""Holds ``accelerate_fsdp2.yaml`` and ``deepspeed_zero3.json`` (not run here)."""
