"""Prefill in chunks: views are encoded as they are needed, and memory does not grow with them.

Keys and values grow with the sequence (16 KiB per token for the released models in bfloat16),
and on a GPU the one attention layer that is being read, whose pieces are put together. Everything
else is bounded by `chunk_tokens` and `view_batch`. Where a GPU runs out of memory both are halved
and the work resumes at the last chunk boundary; views and precision never change by themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from longllava_domains.errors import MemoryBudgetError, PolicyError, SessionError
from longllava_domains.model.kernels.cpu_matmul import fast_products
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.preprocess import Picture, pixel_values
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.heartbeat import heartbeat
from longllava_domains.vision_language import Monitor

# On a processor small enough for a sign of life every few seconds (layers beat within a chunk), and
# large enough for the products to be fast.
CHUNK_TOKENS: Final = {"cpu": 512, "cuda": 4096}
VIEW_BATCH: Final = {"cpu": 2, "cuda": 8}
_SMALLEST_CHUNK = 32  # a chunk this small that does not fit means that nothing will


@dataclass
class StepSizes:
    """The amount worked on at once; halved when memory runs out.

    Attributes:
        chunk_tokens: Tokens per forward of the language model.
        view_batch: Views per forward of the tower.
        retries: How often memory ran out.

    Raises:
        PolicyError: A number below 1.
    """

    chunk_tokens: int = CHUNK_TOKENS["cuda"]
    view_batch: int = VIEW_BATCH["cuda"]
    retries: int = 0

    def __post_init__(self) -> None:
        for name in ("chunk_tokens", "view_batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise PolicyError(
                    f"{name} must be 1 at least; found {value!r}.",
                    remedy=f"Leave {name} out, or pass a positive number.",
                    code="session.pace",
                    facts={name: value if isinstance(value, int) else None},
                )

    @classmethod
    def for_device(
        cls, kind: str, chunk_tokens: int | None = None, view_batch: int | None = None
    ) -> "StepSizes":
        """Return what suits a kind of device (``"cpu"`` or ``"cuda"``), where nothing else is asked."""
        return cls(
            CHUNK_TOKENS[kind] if chunk_tokens is None else chunk_tokens,
            VIEW_BATCH[kind] if view_batch is None else view_batch,
        )

    @property
    def is_smallest(self) -> bool:
        """True if the chunk is too small to be halved again."""
        return self.chunk_tokens <= _SMALLEST_CHUNK

    def halved(self) -> "StepSizes":
        """Return steps of half the size, no smaller than the smallest."""
        return StepSizes(
            max(self.chunk_tokens // 2, _SMALLEST_CHUNK), max(self.view_batch // 2, 1), self.retries
        )

    def halve(self) -> None:
        """Halve both, after memory ran out.

        Raises:
            MemoryBudgetError: The chunk is too small to halve again.
        """
        self.retries += 1
        if self.is_smallest:
            raise MemoryBudgetError(
                f"Memory ran out even with chunks of {self.chunk_tokens} tokens.",
                remedy="Free memory on the device, show fewer views, or quantise the model.",
                code="session.memory",
                facts={"chunk_tokens": self.chunk_tokens, "view_batch": self.view_batch},
            )
        smaller = self.halved()
        self.chunk_tokens, self.view_batch = smaller.chunk_tokens, smaller.view_batch


class ViewFeatures:
    """Encodes views in order, a micro-batch at a time, and hands out their tokens.

    Holds the tokens of one micro-batch and what a chunk has not used up yet.

    Args:
        network: Gives the tower and the projector.
        views: The views that the prompt's placeholders stand for, in order.
        steps: Says how many views go through the tower together.
    """

    def __init__(
        self, network: LongLlavaForConditionalGeneration, views: Sequence[Picture], steps: StepSizes
    ) -> None:
        self._network = network
        self._views = views
        self._steps = steps
        self._encoded = 0
        self._ready: list[Tensor] = []

    def take(self, tokens: int) -> Tensor:
        """Return the next tokens (tokens, hidden) of the views."""
        while sum(len(part) for part in self._ready) < tokens:
            batch = self._views[self._encoded : self._encoded + self._steps.view_batch]
            pixels = pixel_values(batch, self._network.config.view_px)
            self._ready.append(self._network.encode_images(pixels).flatten(0, 1))
            self._encoded += len(batch)
        ready = torch.cat(self._ready)
        self._ready = [ready[tokens:].clone()]  # a view would hold on to all of it
        return ready[:tokens]

    def put_back(self, features: Tensor) -> None:
        """Take back tokens whose chunk did not fit."""
        self._ready.insert(0, features)


@torch.no_grad()
def prefill(
    network: LongLlavaForConditionalGeneration,
    cache: SessionCache,
    ids: Sequence[int],
    views: Sequence[Picture],
    steps: StepSizes,
    watch: Monitor,
) -> Tensor:
    """Run tokens through the language model, continuing a cache.

    Args:
        network: The model.
        cache: Where to continue; holds the tokens afterwards.
        ids: One token at least; placeholders stand for the views, in order.
        views: The views among these tokens.
        steps: Sizes of the steps; changed where memory runs out.
        watch: Told between chunks.

    Returns:
        The last hidden state of the last token (1, hidden).

    Raises:
        SessionError: Cancelled; the cache then holds the chunks done.
        MemoryBudgetError: Even the smallest chunk does not fit.
    """
    device = network.input_device
    tokens = torch.tensor([ids], device=device)
    features = ViewFeatures(network, views, steps)
    cache.reserve(len(ids))
    hidden, done = None, 0
    while done < len(ids):
        watch.between_chunks(done, len(ids))
        chunk = tokens[:, done : done + steps.chunk_tokens]
        mark = cache.mark()
        beat = _beat(watch, done, chunk.shape[1], len(ids))
        try:
            with fast_products(network), heartbeat(network, beat):
                hidden = _forward_chunk(network, cache, chunk, features)
        except SessionError:
            cache.rewind(mark)
            raise
        except torch.OutOfMemoryError:
            cache.rewind(mark)
            steps.halve()
            torch.cuda.empty_cache()
            continue
        done += chunk.shape[1]
    watch.between_chunks(done, len(ids))
    assert hidden is not None, "prefill needs a token"
    return hidden


def _beat(watch: Monitor, done: int, chunk: int, total: int) -> Callable[[float], None] | None:
    """Return what reports the share of a chunk, None where nobody listens."""
    if watch.on_progress is None and watch.cancelled is None:
        return None
    return lambda share: watch.between_chunks(done + int(share * chunk), total)


def _forward_chunk(
    network: LongLlavaForConditionalGeneration,
    cache: SessionCache,
    chunk: Tensor,
    features: ViewFeatures,
) -> Tensor:
    shown = chunk == network.config.image_token_id
    taken = features.take(int(shown.sum())) if bool(shown.any()) else None
    try:
        embedded = network.get_input_embeddings()(chunk.masked_fill(shown, 0))
        if taken is not None:
            embedded[shown] = taken.to(embedded.dtype)
        run = network.model.language_model(
            inputs_embeds=embedded, past_key_values=cache, use_cache=True
        )
    except torch.OutOfMemoryError:
        if taken is not None:
            features.put_back(taken)
        raise
    last: Tensor = run.last_hidden_state[:, -1].clone()  # a view would keep the whole chunk
    return last
