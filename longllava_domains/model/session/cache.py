"""What sessions remember: keys and values in shared pieces, and states that are never overwritten.

A session's prefix (hundreds of views) is held once. A fork reads it in place and writes only what
it adds: keys and values into a tail of its own, states by replacing them, never in place. So a
fork costs nothing, and what one session adds no other sees.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import JambaConfig
from transformers.cache_utils import Cache, DynamicLayer, LinearAttentionLayer

from longllava_domains.model.layers.attention import attend_pieces, attention_weights
from longllava_domains.model.layers.attention_readout import AttentionReadout
from longllava_domains.model.layers.kv_storage import (
    KeysValues,
    KvCacheDtype,
    StoredTokens,
    quantized,
    tokens_of,
)

_LEAST_ROOM = 64  # tokens; a tail grows by doubling from here where nothing was reserved


class SharedKeyValues(DynamicLayer):
    """Keys and values of one attention layer: pieces shared with other sessions, then a tail.

    Attributes:
        readout: Where the attention of single tokens is added up, or None.
    """

    def __init__(self, pieces: Sequence[StoredTokens] = ()) -> None:
        super().__init__()
        self._shared = tuple(pieces)
        self._tail: StoredTokens | None = None
        self._filled = 0
        self._reserved = 0
        self.readout: AttentionReadout | None = None

    def attend(self, query: Tensor, new: KeysValues, scale: float) -> Tensor:
        """Remember `new` and return what `query` (rows, heads, tokens, head size) reads."""
        held = self._held(new)
        if query.shape[2] > 1:
            read = attend_pieces(query, self.pieces(), held, scale)
            self._append(held)
            return read
        self._append(held)
        pieces = self.pieces()
        if self.readout is not None:
            self.readout.add(attention_weights(query, pieces, scale))
        return attend_pieces(query, pieces, None, scale)

    def pieces(self) -> tuple[StoredTokens, ...]:
        """Return everything remembered, in order, without copying."""
        if self._tail is None or not self._filled:
            return self._shared
        return (*self._shared, tokens_of(self._tail, 0, self._filled))

    def reserve(self, tokens: int) -> None:
        """Say how many tokens are still to come, so that the tail is allocated once."""
        self._reserved = self._filled + tokens

    def fork(self) -> "SharedKeyValues":
        """Return a layer that continues from here; both may go on, neither sees the other."""
        return type(self)(self.pieces())

    def mark(self) -> int:
        """Return a point to `rewind` to."""
        return self._filled

    def rewind(self, mark: int) -> None:
        """Forget what was added since `mark`."""
        self._filled = mark

    def get_seq_length(self) -> int:
        """Return the number of tokens remembered."""
        return sum(piece.keys.shape[2] for piece in self._shared) + self._filled

    def _held(self, new: KeysValues) -> StoredTokens:
        """Return new tokens in the form in which they are remembered and read."""
        return new

    def _append(self, new: StoredTokens) -> None:
        rows, heads, tokens, _ = new.keys.shape
        needed = self._filled + tokens
        if self._tail is None or needed > self._tail.keys.shape[2]:
            grown = max(needed, self._reserved, 2 * self._filled, _LEAST_ROOM)
            if needed <= self._reserved:
                grown = self._reserved
            larger_tail = type(new)(
                *(part.new_empty(rows, heads, grown, part.shape[3]) for part in new)
            )
            if self._tail is not None:
                for larger, old in zip(larger_tail, self._tail, strict=True):
                    larger[:, :, : self._filled] = old[:, :, : self._filled]
            self._tail = larger_tail
        for part, added in zip(self._tail, new, strict=True):
            part[:, :, self._filled : needed] = added
        self._filled = needed


class Int8KeyValues(SharedKeyValues):
    """The same in 8 bits. A token reads itself as it is remembered, so chunks change nothing."""

    def _held(self, new: KeysValues) -> StoredTokens:
        return quantized(new)


class CarriedState(LinearAttentionLayer):
    """Convolution inputs and state of one Mamba layer, replaced instead of overwritten."""

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, **_: Any) -> Tensor:
        """Hold the last d_conv inputs (rows, channels, d_conv)."""
        self.conv_states[state_idx] = conv_states
        self.is_conv_states_initialized[state_idx] = self.has_previous_state[state_idx] = True
        return conv_states

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, **_: Any
    ) -> Tensor:
        """Hold the state (rows, channels, states)."""
        self.recurrent_states[state_idx] = recurrent_states
        self.is_recurrent_states_initialized[state_idx] = True
        return recurrent_states

    def mark(self) -> tuple[Tensor, ...]:
        """Return a point to `rewind` to: inputs and state, or nothing before the first token."""
        held = (self.conv_states[0], self.recurrent_states[0])
        return held if self.has_previous_state[0] else ()

    def rewind(self, mark: tuple[Tensor, ...]) -> None:
        """Go back to the inputs and the state at `mark`."""
        self.has_previous_state[0] = bool(mark)
        self.conv_states[0], self.recurrent_states[0] = mark or (None, None)

    def fork(self) -> "CarriedState":
        """Return a layer that continues from here; the tensors are shared until replaced."""
        twin = CarriedState()
        twin.rewind(self.mark())
        return twin


class RowsOfKeyValues(DynamicLayer):
    """One attention layer of several sessions that take steps together, each row its own length."""

    def __init__(self, rows: Sequence[SharedKeyValues]) -> None:
        super().__init__()
        self.rows = tuple(rows)

    def attend(self, query: Tensor, new: KeysValues, scale: float) -> Tensor:
        """Let every row remember and read its own."""
        reads = [
            layer.attend(
                query[row : row + 1],
                KeysValues(new.keys[row : row + 1], new.values[row : row + 1]),
                scale,
            )
            for row, layer in enumerate(self.rows)
        ]
        return torch.cat(reads)

    def get_seq_length(self) -> int:
        """Return the tokens of the longest row; nothing in Jamba depends on positions."""
        return max(layer.get_seq_length() for layer in self.rows)


class CachePosition(NamedTuple):
    """A point in a cache's past."""

    layers: tuple[Any, ...]


class SessionCache(Cache):
    """Everything the language model remembers of one session.

    Args:
        config: The language model's configuration.
        kv_cache_dtype: ``"auto"`` keeps keys and values in the network's precision, ``"int8"``
            in 8 bits; states are kept as they are.
    """

    def __init__(self, config: JambaConfig, kv_cache_dtype: KvCacheDtype = "auto") -> None:
        attending = {"auto": SharedKeyValues, "int8": Int8KeyValues}[kv_cache_dtype]
        kinds = {"full_attention": attending, "linear_attention": CarriedState}
        super().__init__(layers=[kinds[kind]() for kind in config.layer_types])

    def fork(self) -> "SessionCache":
        """Return a cache that continues from here, at no cost."""
        return self._with([layer.fork() for layer in self.layers])

    def repeat(self, rows: int) -> "SessionCache":
        """Return a cache of `rows` equal rows that continue from this one's only row."""
        twin = self.fork()
        for layer in twin.layers:
            if isinstance(layer, CarriedState):
                layer.rewind(tuple(held.expand(rows, -1, -1) for held in layer.mark()))
        return twin

    def reserve(self, tokens: int) -> None:
        """Say how many tokens are still to come."""
        for layer in self._attention():
            layer.reserve(tokens)

    def read_attention(self, readout: AttentionReadout | None) -> None:
        """Add up the attention of single tokens from now on; None stops."""
        for layer in self._attention():
            layer.readout = readout

    def mark(self) -> CachePosition:
        """Return a point to `rewind` to."""
        return CachePosition(tuple(layer.mark() for layer in self.layers))

    def rewind(self, mark: CachePosition) -> None:
        """Forget everything since `mark`, also where only some layers had gone on."""
        for layer, point in zip(self.layers, mark.layers, strict=True):
            layer.rewind(point)

    def key_value_bytes(self) -> int:
        """Return the bytes of keys and values remembered, shared ones included."""
        pieces = [piece for layer in self._attention() for piece in layer.pieces()]
        return sum(part.numel() * part.element_size() for piece in pieces for part in piece)

    def _attention(self) -> list[SharedKeyValues]:
        return [layer for layer in self.layers if isinstance(layer, SharedKeyValues)]

    def _with(self, layers: list[Any]) -> "SessionCache":
        twin = copy(self)
        twin.layers = layers
        return twin


def stack_rows(caches: Sequence[SessionCache]) -> SessionCache:
    """Return one cache whose rows are those of the given ones.

    Keys and values are written to the given caches themselves; states come back with `part`.
    """
    if len(caches) == 1:
        return caches[0]
    layers: list[Any] = []
    for same in zip(*(cache.layers for cache in caches), strict=True):
        if isinstance(same[0], SharedKeyValues):
            layers.append(RowsOfKeyValues(same))
            continue
        held = zip(*(layer.mark() for layer in same), strict=True)
        together = CarriedState()
        together.rewind(tuple(torch.cat(rows) for rows in held))
        layers.append(together)
    return caches[0]._with(layers)


def unstack_rows(together: SessionCache, caches: Sequence[SessionCache]) -> None:
    """Give the states of a joined cache back to the caches it was joined from."""
    if len(caches) == 1:
        return
    for index, layer in enumerate(together.layers):
        if isinstance(layer, CarriedState):
            for row, cache in enumerate(caches):
                cache.layers[index].rewind(tuple(held[row : row + 1] for held in layer.mark()))
