"""The LongLLaVA network: configuration, checkpoints, carried state and sessions.

Importing this room registers the network with `transformers.AutoConfig` and
`AutoModelForImageTextToText`; no remote code is involved.
"""

from longllava_domains.model.checkpoint import load_checkpoint
from longllava_domains.model.config import LongLlavaConfig
from longllava_domains.model.inspect import Inspection, inspect_checkpoint
from longllava_domains.model.load import LongLlava, load_model
from longllava_domains.model.longllava import LongLlavaForConditionalGeneration

__all__ = [
    "Inspection",
    "LongLlava",
    "LongLlavaConfig",
    "LongLlavaForConditionalGeneration",
    "inspect_checkpoint",
    "load_checkpoint",
    "load_model",
]
