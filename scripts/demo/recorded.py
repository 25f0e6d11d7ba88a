"""A session's memory that gradients can pass through: nothing in it is written over."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import JambaConfig

from longllava_domains.model.layers.kv_storage import KeysValues
from longllava_domains.model.session.cache import SessionCache, SharedKeyValues


class RecordedKeyValues(SharedKeyValues):
    """Keys and values that are joined anew for every chunk of queries.

    Attributes:
        asked: For each row the query whose attention is kept, int64; None for none.
        looked: That attention, averaged over heads: (rows, tokens remembered).
    """

    asked: Tensor | None = None
    looked: Tensor | None = None

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
        if self.asked is not None:
            before = keys.shape[2] - tokens
            one = query[torch.arange(rows), :, self.asked].unflatten(1, (keys.shape[1], -1))
            products = (one @ keys.transpose(2, 3)).flatten(1, 2) * scale
            later = torch.arange(keys.shape[2]) > (before + self.asked).unsqueeze(1)
            spread = products.masked_fill(later.unsqueeze(1), -torch.inf).softmax(2)
            self.looked = spread.mean(1)
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


def keep_attention(memory: SessionCache, asked: Tensor) -> list[RecordedKeyValues]:
    """Let every attention layer keep what one query of each row looks at; return the layers.

    Args:
        memory: Of as many rows as there are questions.
        asked: For each row the number of the query, among those that come next.
    """
    layers = [layer for layer in memory.layers if isinstance(layer, RecordedKeyValues)]
    for layer in layers:
        layer.asked = asked
    return layers


def looked_past(
    layers: Sequence[RecordedKeyValues],
    of_a_view: Tensor,
    showing: Sequence[NDArray[np.bool_] | None],
) -> Tensor:
    """Return how little of the attention on views meets those that show what is asked for.

    What is measured is what `AttentionReadout` adds up: a mean over heads and layers. Views are
    spelled by equally many tokens.

    Args:
        layers: That kept it.
        of_a_view: bool (tokens,), which of the first tokens remembered belong to views.
        showing: For each row the views that show it, bool (views,), or None.

    Returns:
        For each row with any such view, minus the log of their share of the attention on views.
    """
    missed = []
    for row, views in enumerate(showing):
        if views is None or views.all():
            continue
        looked = torch.stack([layer.looked[row] for layer in layers]).mean(0)
        each = looked[: len(of_a_view)][of_a_view].unflatten(0, (len(views), -1)).sum(1)
        missed.append(-(each[torch.from_numpy(views)].sum() / each.sum()).clamp_min(1e-6).log())
    return torch.stack(missed) if missed else torch.zeros(0)
