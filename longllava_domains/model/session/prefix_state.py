"""What a session remembers: its views, and where its conversation stands."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.layers.kv_storage import SCALE_BYTES, KvCacheDtype
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.preprocess import Picture
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import Decoded
from longllava_domains.model.session.prefill import StepSizes
from longllava_domains.model.session.prefill import prefill as run_prefill
from longllava_domains.units import human_bytes
from longllava_domains.vision_language import Monitor


class PrefixState:
    """Cached tokens of a session, found again by their ids.

    Two points are kept: after the last view, and after the last answer. A prompt continues from
    the later one whose ids it begins with, so a continuation is never anything but what the whole
    prompt would have been.

    Args:
        network: The model.
        steps: Sizes of the steps.
        limit_bytes: Most that keys and values may take; None for no limit.
        kv_cache_dtype: ``"auto"`` or ``"int8"``, see `SessionCache`.

    Attributes:
        steps: Sizes of the steps, as they are after memory ran out, if it did.
    """

    def __init__(
        self,
        network: LongLlavaForConditionalGeneration,
        steps: StepSizes,
        limit_bytes: int | None = None,
        kv_cache_dtype: KvCacheDtype = "auto",
    ) -> None:
        self.steps = steps
        self._network = network
        self._limit = limit_bytes
        self._kv_cache_dtype: KvCacheDtype = kv_cache_dtype
        self._prefix_ids: list[int] = []
        self._prefix = self._nothing()
        self._answered: tuple[list[int], SessionCache] = ([], self._prefix)

    def prefill(self, ids: Sequence[int], views: Sequence[Picture], watch: Monitor) -> None:
        """Read the prompt up to its last view; what was read before is not read again.

        Args:
            ids: The prefix, whole.
            views: All its views, in order.
            watch: Told between chunks.

        Raises:
            MemoryBudgetError: The prefix exceeds the limit, or no chunk fits.
            SessionError: Cancelled.
        """
        ids = list(ids)
        if ids[: len(self._prefix_ids)] != self._prefix_ids:
            self._prefix_ids, self._prefix = [], self._nothing()
        fresh = ids[len(self._prefix_ids) :]
        self._check(len(ids))
        if fresh:
            cache = self._prefix.fork()
            unseen = views[len(self.view_spans()) :]
            run_prefill(self._network, cache, fresh, unseen, self.steps, watch)
            self._prefix_ids, self._prefix = ids, cache
        self._answered = (self._prefix_ids, self._prefix)

    def prefill_prompt(
        self, ids: list[int], watch: Monitor, readout: AttentionReadout | None = None
    ) -> tuple[SessionCache, Tensor]:
        """Return a cache that holds a whole prompt, and the last hidden state (1, hidden).

        Args:
            ids: The prompt, whole; it begins with the prefix.
            watch: Told between chunks.
            readout: Adds up where the last token, and all single tokens after it, look.

        Raises:
            MemoryBudgetError: The prompt exceeds the limit, or no chunk fits.
            SessionError: Cancelled.
        """
        self._check(len(ids))
        known, cache = self._answered
        if len(known) >= len(ids) or ids[: len(known)] != known:
            known, cache = self._prefix_ids, self._prefix
        cache, rest = cache.fork(), ids[len(known) :]
        if readout is not None:
            if len(rest) > 1:
                run_prefill(self._network, cache, rest[:-1], (), self.steps, watch)
            cache.read_attention(readout)
            rest = rest[-1:]
        return cache, run_prefill(self._network, cache, rest, (), self.steps, watch)

    def commit(self, ids: list[int], decoded: Decoded, cache: SessionCache) -> None:
        """Remember a prompt with its answer, of which the last token may not have been read."""
        read = decoded.tokens if decoded.stopped == "end" else decoded.tokens[:-1]
        self._answered = (ids + read, cache)

    def fork(self) -> Self:
        """Return a memory that goes its own way from here; nothing is copied."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.steps = StepSizes(self.steps.chunk_tokens, self.steps.view_batch, self.steps.retries)
        return twin

    def view_spans(self) -> list[tuple[int, int]]:
        """Return the (first, one past last) position of the tokens of each view."""
        image_id, each = self._network.config.image_token_id, self._network.config.tokens_per_image
        positions = [at for at, token in enumerate(self._prefix_ids) if token == image_id]
        return [(at, at + each) for at in positions[::each]]

    def _nothing(self) -> SessionCache:
        return SessionCache(self._network.config.text_config, self._kv_cache_dtype)

    def _check(self, tokens: int) -> None:
        """Raise `MemoryBudgetError` where keys and values of so many tokens exceed the limit."""
        needed = tokens * key_value_bytes_per_token(self._network, self._kv_cache_dtype)
        if self._limit is not None and needed > self._limit:
            raise MemoryBudgetError(
                f"{tokens} tokens need {human_bytes(needed)} for keys and values; the limit is "
                f"{human_bytes(self._limit)}.",
                remedy="Show fewer views, or raise memory_limit_bytes.",
                code="session.limit",
                facts={"tokens": tokens, "bytes_needed": needed, "limit_bytes": self._limit},
            )


def key_value_bytes_per_token(
    network: LongLlavaForConditionalGeneration, kv_cache_dtype: KvCacheDtype = "auto"
) -> int:
    """Return the bytes that one token adds to the keys and values of all attention layers."""
    config = network.config.text_config
    layers = config.layer_types.count("full_attention")
    head_size = config.hidden_size // config.num_attention_heads
    each = head_size * network.get_input_embeddings().weight.element_size()
    if kv_cache_dtype == "int8":
        each = head_size + SCALE_BYTES
    return int(layers * 2 * config.num_key_value_heads * each)
