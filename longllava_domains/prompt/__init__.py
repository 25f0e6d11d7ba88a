"""The only place that spells tags, newlines and role strings."""

from longllava_domains.prompt.pieces import Mark, Prompt
from longllava_domains.prompt.protocol import compose, compose_next, compose_turns
from longllava_domains.prompt.tokens import PromptTokenizer
from longllava_domains.prompt.training import TrainingText, encode_training, render_training
from longllava_domains.vision_language import PROMPT_PROTOCOLS, PromptProtocol

__all__ = [
    "PROMPT_PROTOCOLS",
    "Mark",
    "Prompt",
    "PromptProtocol",
    "PromptTokenizer",
    "TrainingText",
    "compose",
    "compose_next",
    "compose_turns",
    "encode_training",
    "render_training",
]


def __dir__() -> list[str]:
    return list(__all__)
