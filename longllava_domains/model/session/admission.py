"""Requests for memory, made before work runs; the code that answers stands above the sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from longllava_domains.model.session.prefill import StepSizes


@dataclass(frozen=True)
class Work:
    """Tokens that are about to be read, and what is remembered already.

    Attributes:
        tokens: Tokens of the whole prompt.
        held: How many of them are in the cache.
        views: Views that have to be encoded.
        answer_tokens: Longest answer, all rows together.
        steps: The sizes of steps wanted.
    """

    tokens: int
    held: int
    views: int
    answer_tokens: int
    steps: StepSizes


# Returns the sizes of steps with which the work fits, or raises `MemoryBudgetError`.
Admit = Callable[[Work], StepSizes]
