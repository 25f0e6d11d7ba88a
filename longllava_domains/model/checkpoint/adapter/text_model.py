"""The language model alone, as transformers' `JambaForCausalLM` stores it: what vLLM reads.

vLLM knows Jamba and not LongLLaVA; images reach it as embeddings of prompts, from this package's
tower and projector. Adapters on fused experts are lost or misread by servers (vLLM issue 52198), so
they are merged first.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import JambaForCausalLM

from longllava_domains.errors import OutputError
from longllava_domains.model.checkpoint.write import copy_companions
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration


def save_text_model(
    network: LongLlavaForConditionalGeneration, target: Path, companions: Path
) -> None:
    """Write the language model of a network.

    Args:
        network: The network, its adapter merged.
        target: New or empty folder; experts are written one by one, under transformers' names.
        companions: Folder whose tokenizer files come along.

    Raises:
        OutputError: The folder is not empty or cannot be written.
    """
    if target.exists() and any(target.iterdir()):
        raise OutputError(
            "The target folder is not empty.",
            remedy="Name a new folder.",
            code="convert.target",
        )
    config: Any = network.config.text_config
    with torch.device("meta"):
        model = JambaForCausalLM(config)
    model.model, model.lm_head = network.model.language_model, network.lm_head
    try:
        model.save_pretrained(target)
        copy_companions(companions, target)
    except OSError:
        raise OutputError(
            "The language model could not be written.",
            remedy="Name a folder that can be written, on a disk with room for it.",
            code="convert.write",
        ) from None
