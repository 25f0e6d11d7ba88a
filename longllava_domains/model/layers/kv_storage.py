"""Keys and values of consecutive tokens, in the network's precision or in 8 bits.

In 8 bits every token has, for each key/value head, one float32 scale for its key and one for its
value: max|x| / 127, so that nothing is cut off and no number comes back further away than half a
scale. A token is rounded once, alone, when it is remembered; so what is remembered depends
neither on the chunks in which a prompt was read nor on forks or rows beside it. Measured on the
golden checkpoints in float32 (docs/performance.md): 99.7 % of greedy tokens stay, logits move by
0.2 % (dense) and 0.9 % (experts) at most, relative.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor

from longllava_domains.errors import QuantizationError

KvCacheDtype = Literal["auto", "int8"]

SCALE_BYTES: Final = 4
# Tokens that are dequantised at once where attention takes them in turn.
BLOCK_TOKENS: Final = 1024


class KeysValues(NamedTuple):
    """Keys and values of consecutive tokens, each (rows, key/value heads, tokens, head size)."""

    keys: Tensor
    values: Tensor


class Int8KeysValues(NamedTuple):
    """The same in 8 bits.

    Attributes:
        keys: int8 (rows, key/value heads, tokens, head size), -127 to 127.
        values: Likewise.
        key_scales: float32 (rows, key/value heads, tokens, 1).
        value_scales: Likewise.
    """

    keys: Tensor
    values: Tensor
    key_scales: Tensor
    value_scales: Tensor


StoredTokens = KeysValues | Int8KeysValues


def resolve_kv_cache_dtype(name: str) -> KvCacheDtype:
    """Return how keys and values are kept.

    Args:
        name: ``"auto"`` for the network's own precision, or ``"int8"``.

    Raises:
        QuantizationError: Anything else.
    """
    if name not in get_args(KvCacheDtype):
        raise QuantizationError(
            f"Keys and values cannot be kept in {str(name)!r}.",
            remedy="Use kv_cache_dtype='int8', or 'auto' for the model's own precision.",
            code="quantization.kv_cache_dtype",
        )
    return cast(KvCacheDtype, name)


def quantized(new: KeysValues) -> Int8KeysValues:
    """Round keys and values to 8 bits; a token that holds NaN or infinity has no finite scale."""
    (keys, key_scales), (values, value_scales) = map(_codes_and_scales, new)
    return Int8KeysValues(keys, values, key_scales, value_scales)


def tokens_of(piece: StoredTokens, start: int, end: int) -> StoredTokens:
    """Return a range of a piece's tokens without copying."""
    return type(piece)(*(part[:, :, start:end] for part in piece))


def whole(piece: StoredTokens, dtype: torch.dtype) -> KeysValues:
    """Return a piece in a floating precision, all of it at once."""
    if isinstance(piece, KeysValues):
        return piece
    return KeysValues(
        _dequantized(piece.keys, piece.key_scales, dtype),
        _dequantized(piece.values, piece.value_scales, dtype),
    )


def blocks(piece: StoredTokens, dtype: torch.dtype) -> Iterator[KeysValues]:
    """Yield a piece in a floating precision: as it is, or 8 bits `BLOCK_TOKENS` at a time."""
    if isinstance(piece, KeysValues):
        yield piece
        return
    for start in range(0, piece.keys.shape[2], BLOCK_TOKENS):
        yield whole(tokens_of(piece, start, start + BLOCK_TOKENS), dtype)


def _codes_and_scales(numbers: Tensor) -> tuple[Tensor, Tensor]:
    largest = numbers.abs().amax(dim=3, keepdim=True).float()
    # Zeros have the smallest scale there is instead of none to divide by.
    scales = (largest / 127).clamp_(min=torch.finfo(torch.float32).tiny)
    return torch.div(numbers, scales).round_().to(torch.int8), scales


def _dequantized(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Multiply in float32 and round once; a scale in bfloat16 would add as much error again."""
    # One mixed product is four times as slow as a conversion and a product.
    return codes.float().mul_(scales).to(dtype)
