"""The score of a box that a model wrote: how sure it was of its words, and nothing more."""

import math
from collections.abc import Sequence
from typing import Final

from longllava_domains.arguments import checked

SCORE_KIND: Final = "token-probability, uncalibrated"
"""The kind of every score of a detection: never the probability that the object is there."""


@checked
def answer_score(token_logprobs: Sequence[float]) -> float | None:
    """Return the geometric mean probability of an answer's tokens, 0 to 1.

    Args:
        token_logprobs: Log-probability of each token; None is returned where there are none.
    """
    if not token_logprobs:
        return None
    return math.exp(math.fsum(token_logprobs) / len(token_logprobs))
