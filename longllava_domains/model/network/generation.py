"""The inputs of `generate` that would go wrong without a word: what is fresh, padding, numbers."""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from longllava_domains.errors import PromptError
from longllava_domains.model.kernels.finite import require_finite


class FiniteLogits(LogitsProcessor):
    """Ends a generation at the first logits that are not finite."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores as they are.

        Raises:
            ModelError: One is NaN or infinite, but for tokens that another processor forbade (-inf).
        """
        forbidden = scores == -torch.inf
        require_finite(scores.masked_fill(forbidden & ~forbidden.all(-1, keepdim=True), 0))
        return scores


def fresh_tokens(prompt: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """Return the tokens of a prompt (rows, tokens) that a kept cache does not hold yet.

    As transformers reads it: ids as long as the attention mask, or longer than what the cache
    holds, are the whole sequence; shorter ones are new.
    """
    cache, mask = kwargs.get("past_key_values"), kwargs.get("attention_mask")
    seen = 0 if cache is None else int(cache.get_seq_length())
    whole = prompt.shape[1] > seen if mask is None else prompt.shape[1] == mask.shape[1]
    return prompt[:, seen:] if whole else prompt


def fresh_images(prompt: Tensor, fresh: Tensor, images: Tensor, image_id: int, each: int) -> Tensor:
    """Return the images whose placeholders are fresh; those of the whole prompt may be given.

    Args:
        prompt: Ids (rows, tokens), whole.
        fresh: The ids of it that the cache does not hold.
        images: (images, 3, height, width), of the fresh tokens or of the whole prompt, in order.
        image_id: The id that stands for an image token.
        each: Tokens of one image.
    """
    new = (fresh == image_id).sum(1) // each
    every = (prompt == image_id).sum(1) // each
    if len(images) == int(new.sum()) or len(images) != int(every.sum()):
        return images
    rows = torch.split(images, every.tolist())
    return torch.cat(
        [row[len(row) - count :] for row, count in zip(rows, new.tolist(), strict=True)]
    )


def require_left_padding(attention_mask: Any) -> None:
    """Refuse a batch padded on the right: its next token would be read after the padding.

    Raises:
        PromptError: A row ends in padding.
    """
    two_dimensional = isinstance(attention_mask, Tensor) and attention_mask.ndim == 2
    if two_dimensional and bool((attention_mask[:, -1] == 0).any()):
        raise PromptError(
            "A prompt of the batch is padded on the right, where its answer would begin.",
            remedy="Pad on the left (padding_side='left'), or generate row by row.",
            code="prompt.padding",
        )
