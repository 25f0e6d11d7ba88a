"""The LongLLaVA network: configuration, checkpoints, carried state and sessions.

Importing this package registers the network with `transformers.AutoConfig` and
`AutoModelForImageTextToText`; no remote code is involved.
"""

import longllava_domains.model.checkpoint.pretrained  # noqa: F401 - what the Auto classes load through
from longllava_domains.model.checkpoint.inspect import Inspection, inspect_checkpoint
from longllava_domains.model.checkpoint.load import load_checkpoint
from longllava_domains.model.int8.quantize import coverage
from longllava_domains.model.kernels.report import kernel_report
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.layers.carried_state import use_exact_state
from longllava_domains.model.load import LongLlava, load_model
from longllava_domains.model.network.auto_processor import LongLlavaProcessor
from longllava_domains.model.network.config import LongLlavaConfig
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.batching import answer_many, score_many
from longllava_domains.model.session.session import Session
from longllava_domains.vision_language import ChoiceScore, Monitor, Sampling

__all__ = [
    "AttentionReadout",
    "ChoiceScore",
    "Inspection",
    "LongLlava",
    "LongLlavaConfig",
    "LongLlavaForConditionalGeneration",
    "LongLlavaProcessor",
    "Monitor",
    "Sampling",
    "Session",
    "answer_many",
    "coverage",
    "inspect_checkpoint",
    "kernel_report",
    "load_checkpoint",
    "load_model",
    "score_many",
    "use_exact_state",
]


def __dir__() -> list[str]:
    return list(__all__)
