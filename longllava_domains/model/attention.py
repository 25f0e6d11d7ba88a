"""Attention of Jamba over shared prefixes and over packed samples.

Two things that transformers' attention does not do without a mask of tokens x tokens: continue
from keys and values that are held in several pieces (a prefix that sessions share, and a tail of
one's own), and keep packed samples apart. Jamba has no positional encoding, so a piece can be
read from anywhere.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right
from transformers.cache_utils import Cache
from transformers.models.jamba.modeling_jamba import JambaAttention

from longllava_domains.model.attention_varlen import attend_varlen, varlen_for

RowBounds = tuple[tuple[int, int], ...]


class KeysValues(NamedTuple):
    """Keys and values of consecutive tokens, each (rows, key/value heads, tokens, head size)."""

    keys: Tensor
    values: Tensor


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
    query: Tensor, pieces: Sequence[KeysValues], new: KeysValues | None, scale: float
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
    if query.device.type != "cpu":
        return _attend_concatenated(query, pieces, new, scale)
    parts = [_attend_piece(query, piece, scale) for piece in pieces]
    if new is not None:
        groups = query.shape[1] // new.keys.shape[1]
        own = KeysValues(*(part.repeat_interleave(groups, dim=1) for part in new))
        parts.append(_flash(query, own, scale, is_causal=True))
    if len(parts) == 1:
        return parts[0][0]
    reads = torch.stack([read for read, _ in parts])
    shares = torch.stack([mass for _, mass in parts]).softmax(dim=0)
    return (reads * shares.unsqueeze(-1)).sum(dim=0).to(query.dtype)


def attention_weights(query: Tensor, pieces: Sequence[KeysValues], scale: float) -> Tensor:
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
    for keys, _ in pieces:
        grouped = query.reshape(rows, keys.shape[1], -1, size).float()
        products = grouped @ keys.float().transpose(2, 3)
        scores.append(products.reshape(rows, heads, -1))
    return torch.cat(scores, dim=2).mul_(scale).softmax(dim=2).mean(dim=1)


def _attend_piece(query: Tensor, piece: KeysValues, scale: float) -> tuple[Tensor, Tensor]:
    """Read one earlier piece whole; heads that share keys, and rows that do, ask together."""
    rows, heads, tokens, size = query.shape
    key_heads = piece.keys.shape[1]
    grouped = query.reshape(rows, key_heads, -1, size)
    if piece.keys.shape[0] == 1:
        grouped = grouped.transpose(0, 1).reshape(1, key_heads, -1, size)
    read, mass = _flash(grouped, piece, scale, is_causal=False)
    if piece.keys.shape[0] == 1:
        read = read.view(key_heads, rows, -1, size).transpose(0, 1)
        mass = mass.reshape(key_heads, rows, -1).transpose(0, 1)
    return read.reshape(rows, heads, tokens, size), mass.reshape(rows, heads, tokens)


def _flash(
    query: Tensor, source: KeysValues, scale: float, *, is_causal: bool
) -> tuple[Tensor, Tensor]:
    """Return what is read and the log of the summed weights (rows, heads, tokens)."""
    # Public attention functions of torch keep this logarithm to themselves.
    read, mass = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, source.keys, source.values, is_causal=is_causal, scale=scale
    )
    return read, mass


def _attend_concatenated(
    query: Tensor, pieces: Sequence[KeysValues], new: KeysValues | None, scale: float
) -> Tensor:
    """Join the pieces and let the device's fused kernel align its causal mask at the end."""
    rows, _, tokens, _ = query.shape
    parts = [*pieces] if new is None else [*pieces, new]
    keys = torch.cat([part.keys.expand(rows, -1, -1, -1) for part in parts], dim=2)
    values = torch.cat([part.values.expand(rows, -1, -1, -1) for part in parts], dim=2)
    mask = causal_lower_right(tokens, keys.shape[2]) if tokens > 1 else None
    return functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, scale=scale, enable_gqa=True
    )
