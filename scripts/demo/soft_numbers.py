"""What to learn of the numbers of a box: nearly right is worth nearly as much.

Numbers are written digit by digit. Taught exactly, a model that writes 40 for 39 is as wrong as one that
writes 93, and it learns places slowly: a training of the same length found half as many objects.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from longllava_domains.prompt import PromptTokenizer

SPREAD = 1.5  # per cent of the view; boxes a quarter of it wide are met at half their width
WRITTEN = [str(number) for number in range(101)]
CHARACTERS = "0123456789."


class SoftNumbers:
    """Targets of answers with boxes, for one tokenizer.

    Args:
        tokenizer: Writes every digit, and the point behind them, as a token of its own.
    """

    def __init__(self, tokenizer: PromptTokenizer) -> None:
        self.pieces = [tokenizer.decode([number]) for number in range(tokenizer.vocab_size)]
        # Other tokens read alike, which stand for bytes and are never written.
        written = [tokenizer.encode_text(f"<{each}")[-1] for each in CHARACTERS]
        self.characters = torch.tensor(written)

    def of(self, ids: list[int]) -> Tensor:
        """Return (tokens, characters): odds of each character, of sum 0 where a token is none of a place."""
        soft = torch.zeros(len(ids), len(CHARACTERS))
        for start in range(1, len(ids)):
            before = self.pieces[ids[start - 1]]
            if not before.endswith("<") or before.endswith("|<"):  # behind "|" stands an angle
                continue
            number = ""
            while (
                start + len(number) < len(ids) and self.pieces[ids[start + len(number)]].isdigit()
            ):
                number += self.pieces[ids[start + len(number)]]
            for length in range(len(number) + 1 if number else 0):
                soft[start + length] = torch.tensor(_odds(int(number), number[:length]))
        return soft

    def loss(self, logits: Tensor, wanted: Tensor, soft: Tensor) -> Tensor:
        """Return the mean cross entropy: of odds where a token is part of a place, else of the token."""
        hard = functional.cross_entropy(logits, wanted, reduction="none")
        told = logits.log_softmax(-1)[:, self.characters]
        return torch.where(soft.sum(-1) > 0, -(soft * told).sum(-1), hard).mean()


@cache
def _odds(number: int, begun: str) -> tuple[float, ...]:
    """Return the odds of each next character, after the characters that are written already."""
    odds = dict.fromkeys(CHARACTERS, 0.0)
    for other, written in enumerate(WRITTEN):
        if written.startswith(begun):
            following = (written + ".")[len(begun)]
            odds[following] += math.exp(-((other - number) ** 2) / (2 * SPREAD**2))
    whole = sum(odds.values())
    return tuple(each / whole for each in odds.values())
