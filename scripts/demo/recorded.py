"""A session's memory that gradients can pass through: nothing in it is written over."""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import JambaConfig

from longllava_domains.model.layers.kv_storage import KeysValues
from longllava_domains.model.session.cache import SessionCache, SharedKeyValues


class RecordedKeyValues(SharedKeyValues):
    """Keys and values that are joined anew for every chunk of queries."""

    def attend(self, query: Tensor, new: KeysValues, scale: float) -> Tensor:
        """Remember `new` and return what `query` (rows, heads, tokens, head size) reads."""
        rows, _, tokens, _ = query.shape
        held = [piece for piece in self.pieces() if isinstance(piece, KeysValues)]
        keys, values = (
            torch.cat([*(piece[part].expand(rows, -1, -1, -1) for piece in held), new[part]], 2)
            for part in (0, 1)
        )
        self._shared = (KeysValues(keys, values),)
        allowed = torch.ones(tokens, keys.shape[2], dtype=torch.bool)
        return functional.scaled_dot_product_attention(
            query,
            keys,
            values,
            attn_mask=allowed.tril(keys.shape[2] - tokens),
            scale=scale,
            enable_gqa=True,
        )


def recorded_memory(config: JambaConfig) -> SessionCache:
    """Return an empty memory for training."""
    memory = SessionCache(config)
    for number, layer in enumerate(memory.layers):
        if isinstance(layer, SharedKeyValues):
            memory.layers[number] = RecordedKeyValues()
    return memory
