"""`Batch`: one packed row as the tensors that the network is called with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longllava_domains.adapters.data.encode import Encoded


@dataclass(frozen=True)
class Loaded:
    """A sample with its pixels.

    Attributes:
        encoded: Its ids and labels.
        pixels: float32 (views, 3, view_px, view_px).
    """

    encoded: Encoded
    pixels: Tensor


Batch = dict[str, Tensor]
"""``input_ids``, ``labels`` and ``segment_ids`` int64 (1, tokens); ``pixel_values``, if any."""


def pack(samples: Sequence[Loaded], *, isolated: bool = True) -> Batch:
    """Put samples one after the other into one row.

    Args:
        samples: One at least.
        isolated: Add segment ids, by which the network keeps the samples apart.
    """
    row = {
        "input_ids": torch.tensor([[i for one in samples for i in one.encoded.input_ids]]),
        "labels": torch.tensor([[i for one in samples for i in one.encoded.labels]]),
    }
    pixels = [one.pixels for one in samples if len(one.pixels)]
    if pixels:
        row["pixel_values"] = torch.cat(pixels)
    if isolated and len(samples) > 1:
        lengths = torch.tensor([len(one.encoded.input_ids) for one in samples])
        row["segment_ids"] = torch.arange(len(samples)).repeat_interleave(lengths)[None]
    return row


def without_learning(row: Batch) -> Batch:
    """Return a row of which nothing is learned: what fills the last step of several processes."""
    from longllava_domains.prompt.training import IGNORED

    return {**row, "labels": torch.full_like(row["labels"], IGNORED)}
