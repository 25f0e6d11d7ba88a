"""The LongLLaVA network: configuration, checkpoints, carried state and sessions.

Importing this room registers the network with `transformers.AutoConfig` and
`AutoModelForImageTextToText`; no remote code is involved.
"""

from longllava_domains.model.batching import answer_many
from longllava_domains.model.checkpoint import load_checkpoint
from longllava_domains.model.config import LongLlavaConfig
from longllava_domains.model.exact_state import use_exact_state
from longllava_domains.model.inspect import Inspection, inspect_checkpoint
from longllava_domains.model.load import LongLlava, load_model
from longllava_domains.model.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.prefill import Watch
from longllava_domains.model.readout import AttentionReadout
from longllava_domains.model.scan_choice import kernel_report
from longllava_domains.model.scoring import ChoiceScore
from longllava_domains.model.session import Session

__all__ = [
    "AttentionReadout",
    "ChoiceScore",
    "Inspection",
    "LongLlava",
    "LongLlavaConfig",
    "LongLlavaForConditionalGeneration",
    "Session",
    "Watch",
    "answer_many",
    "inspect_checkpoint",
    "kernel_report",
    "load_checkpoint",
    "load_model",
    "use_exact_state",
]
