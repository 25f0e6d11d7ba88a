"""The stages that train the demonstration model ask as sessions ask, and gradients reach the views."""

import sys
from pathlib import Path

import pytest
import torch

from longllava_domains.model.session.cache import SessionCache

STAGES = Path(__file__).parents[3] / "scripts/demo"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    monkeypatch.syspath_prepend(str(STAGES))
    import language_stage

    return language_stage.fresh_network(language_stage.demo_tokenizer())


def test_a_recorded_memory_answers_as_a_session_and_passes_gradients(network) -> None:
    recorded_memory = sys.modules["recorded"].recorded_memory
    language, config = network.model.language_model, network.config.text_config
    torch.manual_seed(0)
    seen = torch.randn(1, 9, config.hidden_size, requires_grad=True)
    asked = torch.randn(3, 5, config.hidden_size)
    read = []
    for memory in (recorded_memory(config), SessionCache(config)):
        with torch.set_grad_enabled(not read):
            language(inputs_embeds=seen, past_key_values=memory, use_cache=True)
            run = language(inputs_embeds=asked, past_key_values=memory.repeat(3), use_cache=True)
        read.append(run.last_hidden_state)
    assert torch.allclose(read[0], read[1], atol=1e-5)
    read[0].sum().backward()
    assert seen.grad is not None
    assert (seen.grad.abs().sum(-1) > 0).all()
