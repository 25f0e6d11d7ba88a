"""Attention of Jamba over shared prefixes and over packed samples.

Two things that transformers' attention does not do without a mask of tokens x tokens: continue
from keys and values that are held in several pieces (a prefix that sessions share, and a tail of
one's own), and keep packed samples apart. Jamba has no positional encoding, so a piece can be
read from anywhere. Pieces are read where they lie, and those in 8 bits dequantised a block of
tokens at a time; only for the many queries of a chunk on a GPU they are put together.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right
from transformers.cache_utils import Cache
from transformers.models.jamba.modeling_jamba import JambaAttention

from longllava_domains.model.layers.attention_flash import flash, reads_in_place
from longllava_domains.model.layers.attention_varlen import attend_varlen, varlen_for
from longllava_domains.model.layers.kv_storage import KeysValues, StoredTokens, blocks, whole

# Up to this many queries a GPU attends to the pieces where they lie, as every step of an answer does;
# for more, joining them costs little beside the products.
FEW_QUERIES: Final = 64

RowBounds = tuple[tuple[int, int], ...]


@runtime_checkable
class AttendingLayer(Protocol):
    """A cache layer that answers queries itself instead of handing out all its keys."""

    def attend(self, query: Tensor, new: KeysValues, scale: float) -> Tensor:
        """Remember `new` and return what `query` (rows, heads, tokens, head size) reads."""
        ...


class ExactAttention(JambaAttention):
    """`JambaAttention` that also reads attending caches and packed rows."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        segment_bounds: Sequence[RowBounds] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; (rows, tokens, hidden) to the same shape, and weights only as transformers gives.

        Args:
            hidden_states: (rows, tokens, hidden).
            attention_mask: As transformers prepares it; unused for packed rows.
            past_key_values: A cache; one with attending layers needs no mask.
            segment_bounds: For each row, (start, end) of every packed sample.
            **kwargs: Passed on to transformers' attention.
        """
        layer = None if past_key_values is None else past_key_values.layers[self.layer_idx]
        if segment_bounds is None and not isinstance(layer, AttendingLayer):
            stock: tuple[Tensor, Tensor | None] = super().forward(
                hidden_states, attention_mask, past_key_values, **kwargs
            )
            return stock
        shape = hidden_states.shape[:-1]
        query, keys, values = (
            project(hidden_states).view(*shape, -1, self.head_dim).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if segment_bounds is not None:
            read = attend_within_segments(query, KeysValues(keys, values), segment_bounds)
        else:
            assert isinstance(layer, AttendingLayer)
            read = layer.attend(query, KeysValues(keys, values), self.scaling)
        return self.o_proj(read.transpose(1, 2).reshape(*shape, -1)), None


def attend_within_segments(query: Tensor, new: KeysValues, bounds: Sequence[RowBounds]) -> Tensor:
    """Attend causally inside each packed sample: equal to a block-diagonal mask, without one.

    By flash-attn in one call where it is installed and can run, else by torch sample by sample.

    Args:
        query: (rows, heads, tokens, head size).
        new: Keys and values of the same tokens.
        bounds: For each row, (start, end) of every sample, covering the row.

    Returns:
        Shaped like `query`.
    """
    varlen = varlen_for(query)
    if varlen is not None:
        return attend_varlen(query, new.keys, new.values, bounds, varlen)
    rows = []
    for row, spans in enumerate(bounds):
        parts = [
            functional.scaled_dot_product_attention(
                query[row : row + 1, :, start:end],
                new.keys[row : row + 1, :, start:end],
                new.values[row : row + 1, :, start:end],
                is_causal=True,
                enable_gqa=True,
            )
            for start, end in spans
        ]
        rows.append(torch.cat(parts, dim=2))
    return torch.cat(rows)


def attend_pieces(
    query: Tensor, pieces: Sequence[StoredTokens], new: StoredTokens | None, scale: float
) -> Tensor:
    """Attend to earlier pieces without a mask and to the new tokens causally, as one softmax.

    Args:
        query: (rows, heads, tokens, head size).
        pieces: What came before; a piece of one row is shared by all rows.
        new: Keys and values of the queries' own tokens; None where they are in a piece already,
            which is right for one token only.
        scale: Factor on the dot products.

    Returns:
        Shaped like `query`. No gradient is recorded.
    """
    few = query.shape[0] * query.shape[2] <= FEW_QUERIES
    if query.device.type != "cpu" and not (few and reads_in_place(query)):
        return _attend_joined(query, pieces, new, scale)
    return _one_softmax(_reads(query, pieces, new, scale)).to(query.dtype)


def attention_weights(query: Tensor, pieces: Sequence[StoredTokens], scale: float) -> Tensor:
    """Return how one token spreads its attention, averaged over heads.

    Args:
        query: (rows, heads, 1, head size).
        pieces: All keys that the token may read, in order.
        scale: Factor on the dot products.

    Returns:
        float32 (rows, tokens of all pieces); each row sums to 1.
    """
    rows, heads, _, size = query.shape
    scores = []
    for block in (block for piece in pieces for block in blocks(piece, torch.float32)):
        grouped = query.reshape(rows, block.keys.shape[1], -1, size).float()
        products = grouped @ block.keys.float().transpose(2, 3)
        scores.append(products.reshape(rows, heads, -1))
    return torch.cat(scores, dim=2).mul_(scale).softmax(dim=2).mean(dim=1)


def _reads(
    query: Tensor, pieces: Sequence[StoredTokens], new: StoredTokens | None, scale: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what is read from each block, and the log of its summed weights; own tokens first."""
    if new is not None:
        groups = query.shape[1] // new.keys.shape[1]
        plain = whole(new, query.dtype)
        own = KeysValues(*(part.repeat_interleave(groups, dim=1) for part in plain))
        yield flash(query, own, scale, is_causal=True)
        del plain, own  # a generator keeps its variables while others read
    for piece in pieces:
        for block in blocks(piece, query.dtype):
            yield _attend_block(query, block, scale)
            del block  # before the next one is dequantised


def _one_softmax(reads: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up what was read, each by its share of all weights, as the reads come in."""
    read, mass = next(reads)
    for more, its_mass in reads:
        total = torch.logaddexp(mass, its_mass)
        read = read.to(mass.dtype).mul_((mass - total).exp_().unsqueeze(-1))
        read.addcmul_(more, (its_mass - total).exp_().unsqueeze(-1))
        mass = total
        del more, its_mass  # before the next block is read
    return read


def _attend_block(query: Tensor, block: KeysValues, scale: float) -> tuple[Tensor, Tensor]:
    """Read one block whole; heads that share keys, and rows that do, ask together."""
    rows, heads, tokens, size = query.shape
    key_heads = block.keys.shape[1]
    grouped = query.reshape(rows, key_heads, -1, size)
    if block.keys.shape[0] == 1:
        grouped = grouped.transpose(0, 1).reshape(1, key_heads, -1, size)
    read, mass = flash(grouped, block, scale, is_causal=False)
    if block.keys.shape[0] == 1:
        read = read.view(key_heads, rows, -1, size).transpose(0, 1)
        mass = mass.reshape(key_heads, rows, -1).transpose(0, 1)
    return read.reshape(rows, heads, tokens, size), mass.reshape(rows, heads, tokens)


def _attend_joined(
    query: Tensor, pieces: Sequence[StoredTokens], new: StoredTokens | None, scale: float
) -> Tensor:
    """Join the pieces and let the device's fused kernel align its causal mask at the end."""
    rows, _, tokens, size = query.shape
    parts = [*pieces] if new is None else [*pieces, new]
    total = sum(part.keys.shape[2] for part in parts)
    buffer = query.new_empty(2, rows, parts[0].keys.shape[1], total, size)
    joined, end = KeysValues(*buffer), 0
    for block in (block for part in parts for block in blocks(part, query.dtype)):
        start, end = end, end + block.keys.shape[2]
        for all_tokens, some in zip(joined, block, strict=True):
            all_tokens[:, :, start:end] = some
    mask = causal_lower_right(tokens, total) if tokens > 1 else None
    return functional.scaled_dot_product_attention(
        query, *joined, attn_mask=mask, scale=scale, enable_gqa=True
    )
