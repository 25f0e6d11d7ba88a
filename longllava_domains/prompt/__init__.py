"""The only place that spells tags, newlines and role strings."""

from longllava_domains.prompt.layouts import PROTOCOLS, PromptProtocol
from longllava_domains.prompt.pieces import Mark, Prompt
from longllava_domains.prompt.protocol import compose, compose_next
from longllava_domains.prompt.tokens import PromptTokenizer
from longllava_domains.prompt.training import TrainingText, encode_training, render_training

__all__ = [
    "PROTOCOLS",
    "Mark",
    "Prompt",
    "PromptProtocol",
    "PromptTokenizer",
    "TrainingText",
    "compose",
    "compose_next",
    "encode_training",
    "render_training",
]
