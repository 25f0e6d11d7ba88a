"""The parts of a network, by which sizes, precisions and budgets are reported."""

from typing import Final

# The first fragment that a parameter's name contains decides its part.
_FRAGMENTS: Final = (
    ("vision", "vision_tower."),
    ("projector", "multi_modal_projector."),
    ("mamba", ".mamba."),
    ("attention", ".self_attn."),
    ("experts", ".feed_forward.experts."),
    ("router", ".feed_forward.router."),
    ("dense MLP", ".feed_forward."),
    ("norms", "layernorm"),
    ("embeddings", "embed_tokens."),
    ("lm_head", "lm_head."),
)

PARAMETER_GROUPS: Final = tuple(name for name, _ in _FRAGMENTS)
# Everything but the tower and what joins it to the language model.
LANGUAGE_GROUPS: Final = PARAMETER_GROUPS[2:]


def group_of(parameter: str) -> str:
    """Return the part that a parameter of our network belongs to, one of `PARAMETER_GROUPS`."""
    return next(name for name, fragment in _FRAGMENTS if fragment in parameter)
