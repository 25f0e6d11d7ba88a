"""Write tiny_released.json: what the slow reference says about the tiny checkpoints.

Run from the repository root: python tests/builders/write_tiny_released.py
"""

import json
from pathlib import Path

import slow_reference
import tiny_released
import torch

ORACLE = Path(__file__).parents[1] / "model/oracles/tiny_released.json"
IDS = [1, 63, 700, -200, 236, -200, 414, 1554, 9, 2]


def pixels() -> torch.Tensor:
    """Two smooth images without a random generator: (2, 3, 32, 32)."""
    steps = torch.arange(2 * 3 * 32 * 32, dtype=torch.float32)
    return torch.sin(steps * 0.37).reshape(2, 3, 32, 32)


def oracle(experts: int, pooling: str) -> dict:
    config = {**tiny_released.config_of(experts), "resamplePooling": pooling}
    weights = tiny_released.weights_of(config)
    found = slow_reference.logits(weights, config, tiny_released.TOWER, IDS, pixels())
    return {
        "experts": experts,
        "pooling": pooling,
        "ids": IDS,
        "tokens": len(found),
        "logsumexp": [round(value, 7) for value in found.logsumexp(-1).tolist()],
        "last_logits": [round(value, 7) for value in found[-1, :16].tolist()],
        "argmax": found.argmax(-1).tolist(),
    }


if __name__ == "__main__":
    cases = [
        oracle(experts, pooling) for experts in (1, 4) for pooling in ("2d", "4x4", "1d", "none")
    ]
    text = json.dumps(cases, indent=1)
    ORACLE.write_text(text + "\n")
