"""The memory of a session: its views, and where its conversation stands."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from longllava_domains.errors import MemoryBudgetError
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.layers.kv_storage import SCALE_BYTES, KvCacheDtype
from longllava_domains.model.network.longllava import LongLlavaForConditionalGeneration
from longllava_domains.model.network.preprocess import Picture
from longllava_domains.model.session.admission import Admit, Work
from longllava_domains.model.session.cache import SessionCache
from longllava_domains.model.session.decoding import MAX_NEW_TOKENS, Decoded
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
        admit: Asked before anything is read; None lets everything pass.
        answer_tokens: Room to keep for an answer while views are read.

    Attributes:
        steps: Sizes of the steps, as they are after memory ran out, if it did.
    """

    def __init__(
        self,
        network: LongLlavaForConditionalGeneration,
        steps: StepSizes,
        limit_bytes: int | None = None,
        kv_cache_dtype: KvCacheDtype = "auto",
        admit: Admit | None = None,
        answer_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        self.steps = steps
        self._answer_tokens = answer_tokens
        self._admit = admit
        self._network = network
        self._limit = limit_bytes
        self._kv_cache_dtype: KvCacheDtype = kv_cache_dtype
        self._prefix_ids: list[int] = []
        self._prefix = self._nothing()
        self._answered: tuple[list[int], SessionCache] = ([], self._prefix)

    def prefill(self, ids: Sequence[int], views: Sequence[Picture], watch: Monitor) -> None:
        """Read the prompt up to its last view; what was read before is not read again.

        Args:
            ids: The prefix, whole; where it begins with the conversation so far, it goes on from there.
            views: All its views, in order.
            watch: Told between chunks.

        Raises:
            MemoryBudgetError: The prefix exceeds the limit or the memory that is free.
            SessionError: Cancelled.
        """
        ids = list(ids)
        known, cache = self._longest_known(ids)
        unseen = views[len(self._views_in(known)) :]
        if len(known) < len(ids):
            self._ask_for_room(len(ids), len(known), len(unseen), self._answer_tokens)
            cache = cache.fork()
            run_prefill(self._network, cache, ids[len(known) :], unseen, self.steps, watch)
        self._prefix_ids, self._prefix = ids, cache
        self._answered = (ids, cache)

    def prefill_prompt(
        self,
        ids: list[int],
        watch: Monitor,
        readout: AttentionReadout | None = None,
        answer_tokens: int = 0,
    ) -> tuple[SessionCache, Tensor]:
        """Return a cache that holds a whole prompt, and the last hidden state (1, hidden).

        Args:
            ids: The prompt, whole; it begins with the prefix.
            watch: Told between chunks.
            readout: Adds up where the last token, and all single tokens after it, look.
            answer_tokens: Longest answer, all rows together.

        Raises:
            MemoryBudgetError: The prompt exceeds the limit or the memory that is free.
            SessionError: Cancelled.
        """
        cache, rest = self.unread(ids, answer_tokens)
        if readout is not None:
            if len(rest) > 1:
                run_prefill(self._network, cache, rest[:-1], (), self.steps, watch)
            cache.read_attention(readout)
            rest = rest[-1:]
        return cache, run_prefill(self._network, cache, rest, (), self.steps, watch)

    def unread(self, ids: list[int], answer_tokens: int = 0) -> tuple[SessionCache, list[int]]:
        """Return a cache of what is remembered of a prompt, and the ids that are still to be read.

        Args:
            ids: As for `prefill_prompt`.
            answer_tokens: As for `prefill_prompt`.

        Raises:
            MemoryBudgetError: The prompt exceeds the limit or the memory that is free.
        """
        known, cache = self._longest_known(ids[:-1])
        self._ask_for_room(len(ids), len(known), 0, answer_tokens)
        return cache.fork(), ids[len(known) :]

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
        return self._views_in(self._prefix_ids)

    def _views_in(self, ids: list[int]) -> list[tuple[int, int]]:
        image_id, each = self._network.config.image_token_id, self._network.config.tokens_per_image
        positions = [at for at, token in enumerate(ids) if token == image_id]
        return [(at, at + each) for at in positions[::each]]

    def _longest_known(self, ids: list[int]) -> tuple[list[int], SessionCache]:
        """Return the latest point that the ids go on from, and what is remembered there."""
        for known, cache in (self._answered, (self._prefix_ids, self._prefix)):
            if ids[: len(known)] == known:
                return known, cache
        return [], self._nothing()

    def _ask_for_room(self, tokens: int, held: int, views: int, answer_tokens: int) -> None:
        """Raise `MemoryBudgetError` before anything runs; take smaller steps where those fit."""
        self._check(tokens)
        if self._admit is not None:
            fitting = self._admit(Work(tokens, held, views, answer_tokens, self.steps))
            self.steps.chunk_tokens = fitting.chunk_tokens
            self.steps.view_batch = fitting.view_batch

    def _nothing(self) -> SessionCache:
        return SessionCache(self._network.config.text_config, self._kv_cache_dtype)

    def _check(self, tokens: int) -> None:
        """Raise `MemoryBudgetError` if the keys and values of that number of tokens exceed the limit."""
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
