"""The choice of the next token: the most likely one, or a draw that can be repeated."""

from collections.abc import Sequence

import torch
from torch import Tensor

from longllava_domains.vision_language import Sampling


class Chooser:
    """Chooses the tokens of one answer; rows beside it change nothing.

    Args:
        sampling: How to draw; None for the most likely token.
        stop_id: The id that ends an answer; never the first token, as in the original code.
    """

    def __init__(self, sampling: Sampling | None, stop_id: int) -> None:
        self._sampling = sampling
        self._stop_id = stop_id
        self._generator = torch.Generator()
        if sampling is not None:
            self._generator.manual_seed(sampling.seed)

    def choose(self, logits: Tensor, so_far: Sequence[int]) -> int:
        """Return the next token.

        Args:
            logits: float32 (vocabulary,), finite.
            so_far: The answer's tokens.
        """
        if not so_far and 0 <= self._stop_id < len(logits):
            logits = logits.clone()
            logits[self._stop_id] = -torch.inf
        how = self._sampling
        if how is None:
            return int(logits.argmax())
        logits = logits.double().cpu()  # the same draw on every device
        if how.repetition_penalty != 1 and so_far:
            said = torch.tensor(sorted(set(so_far)))
            known = logits[said]
            factor = how.repetition_penalty
            logits[said] = torch.where(known > 0, known / factor, known * factor)
        if how.temperature == 0:
            return int(logits.argmax())
        probabilities = _nucleus((logits / how.temperature).softmax(0), how.top_p)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens, as few as hold `top_p`; the first is always kept."""
    if top_p >= 1:
        return probabilities
    ordered, order = probabilities.sort(descending=True)
    beyond = ordered.cumsum(0) - ordered >= top_p
    return probabilities.index_fill(0, order[beyond], 0.0)
