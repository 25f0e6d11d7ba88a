"""Read the ends of several prompts together: one forward for all that are equally long.

A question about views that were seen is short, and a GPU spends as long on its few tokens as on
those of many. Rows of one length need no padding, so each row reads what it would read alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longllava_domains.model.kernels.cpu_matmul import fast_products
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.session.cache import SessionCache, stack_rows, unstack_rows
from longllava_domains.model.session.prefill import StepSizes, prefill
from longllava_domains.vision_language import Monitor


@dataclass(frozen=True)
class Tail:
    """The end of a prompt that is still to be read.

    Attributes:
        cache: What is remembered of the prompt so far; holds the whole afterwards.
        ids: Ids of the end, one at least; none stands for a view.
        steps: Sizes of the steps of its session.
    """

    cache: SessionCache
    ids: Sequence[int]
    steps: StepSizes

    @property
    def kind(self) -> tuple[int, bool]:
        """Tails of one kind can be read together: equally long, and with or without a past."""
        return len(self.ids), self.cache.key_value_bytes() > 0

    def parted(self) -> tuple["Tail", "Tail"]:
        """Return all but the last token, and the last."""
        return (
            Tail(self.cache, self.ids[:-1], self.steps),
            Tail(self.cache, self.ids[-1:], self.steps),
        )


def read_tails(
    network: LongLlavaForConditionalGeneration, tails: Sequence[Tail], watch: Monitor
) -> Tensor:
    """Read the ends of prompts; return the last hidden state of each (tails, hidden).

    Args:
        network: The model.
        tails: No two of them share a cache.
        watch: Told between forwards.

    Raises:
        SessionError: Cancelled.
        MemoryBudgetError: Even the smallest step of a single tail does not fit.
    """
    hidden: dict[int, Tensor] = {}
    for kind in dict.fromkeys(tail.kind for tail in tails):
        same = [at for at, tail in enumerate(tails) if tail.kind == kind]
        most = max(min(tails[at].steps.chunk_tokens for at in same) // kind[0], 1)
        for start in range(0, len(same), most):
            rows = same[start : start + most]
            watch.between_chunks(len(hidden), len(tails))
            read = _read_equal(network, [tails[at] for at in rows], watch)
            hidden.update((at, read[place : place + 1]) for place, at in enumerate(rows))
    return torch.cat([hidden[at] for at in range(len(tails))])


def _read_equal(
    network: LongLlavaForConditionalGeneration, tails: Sequence[Tail], watch: Monitor
) -> Tensor:
    """Read tails of one kind: together, or where memory runs out one after the other."""
    if len(tails) > 1:
        marks = [tail.cache.mark() for tail in tails]
        try:
            return _forward_rows(network, tails)
        except torch.OutOfMemoryError:
            for tail, mark in zip(tails, marks, strict=True):
                tail.cache.rewind(mark)
            torch.cuda.empty_cache()
    return torch.cat(
        [prefill(network, tail.cache, tail.ids, (), tail.steps, watch) for tail in tails]
    )


@torch.no_grad()
def _forward_rows(network: LongLlavaForConditionalGeneration, tails: Sequence[Tail]) -> Tensor:
    caches = [tail.cache for tail in tails]
    for tail in tails:
        tail.cache.reserve(len(tail.ids))
    together = stack_rows(caches)
    ids = torch.tensor([list(tail.ids) for tail in tails], device=network.input_device)
    with fast_products(network):
        run = network.model.language_model(
            inputs_embeds=network.get_input_embeddings()(ids),
            past_key_values=together,
            use_cache=True,
        )
    unstack_rows(together, caches)
    last: Tensor = run.last_hidden_state[:, -1].clone()
    return last
