"""The network against the slow reference, which shares no code with it, and against stored numbers."""

import json
from pathlib import Path

import pytest
import slow_reference
import tiny_released
import torch

from longllava_domains.model import load_checkpoint

ORACLE = json.loads((Path(__file__).parent / "oracles" / "tiny_released.json").read_text())
PIXELS = torch.sin(torch.arange(2 * 3 * 32 * 32, dtype=torch.float32) * 0.37).reshape(2, 3, 32, 32)


def expand(ids: list[int], network) -> torch.Tensor:
    image = [network.config.image_token_id] * network.config.tokens_per_image
    return torch.tensor([[t for token in ids for t in (image if token == -200 else [token])]])


@pytest.mark.parametrize("case", ORACLE, ids=lambda case: f"{case['experts']}-{case['pooling']}")
@torch.no_grad()
def test_logits_are_those_of_the_slow_reference(tmp_path: Path, case: dict) -> None:
    folder = tmp_path / "model"
    weights = tiny_released.write_released(folder, case["experts"], resamplePooling=case["pooling"])
    network = load_checkpoint(folder)
    logits = network(input_ids=expand(case["ids"], network), pixel_values=PIXELS).logits[0]
    config = {**tiny_released.config_of(case["experts"]), "resamplePooling": case["pooling"]}
    slow = slow_reference.logits(weights, config, tiny_released.TOWER, case["ids"], PIXELS)
    assert (logits - slow).abs().max() < 1e-4
    assert len(logits) == case["tokens"]
    assert logits.argmax(-1).tolist() == case["argmax"]
    torch.testing.assert_close(
        logits.logsumexp(-1), torch.tensor(case["logsumexp"]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        logits[-1, :16], torch.tensor(case["last_logits"]), atol=1e-4, rtol=0
    )
