"""The loss of one row, without ever holding the logits of a row.

Only learned positions go through the output head, and those in chunks whose logits are formed
again on the way back. At 40,960 tokens the original code held 10.7 GB of logits.
"""

from typing import Any

import torch
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from longllava_domains.adapters.data.batch import Batch
from longllava_domains.model import LongLlavaForConditionalGeneration
from longllava_domains.model.budget.training import LOSS_POSITIONS
from longllava_domains.prompt.training import IGNORED


class LossHead(nn.Linear):
    """The output head; where it was given targets it returns their summed loss, not logits.

    It is a module, and not a function of its weight, so that whatever shards or wraps the
    network treats it like any other layer.

    Attributes:
        targets: int64 (positions,), what each position should say; None for plain logits.
    """

    targets: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (1, positions, hidden) to logits, or to the summed loss as a scalar."""
        if self.targets is None:
            return super().forward(hidden)
        assert hidden.shape[0] == 1
        total = hidden.sum() * 0.0  # keeps the graph where nothing is learned
        chunks = zip(
            torch.split(hidden[0], LOSS_POSITIONS),
            torch.split(self.targets, LOSS_POSITIONS),
            strict=True,
        )
        for some, targets in chunks:
            total = total + checkpoint(self._summed, some, targets, use_reentrant=False)
        return total

    def _summed(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = functional.linear(hidden, self.weight)
        precise = torch.promote_types(logits.dtype, torch.float32)
        return functional.cross_entropy(logits.to(precise), targets, reduction="sum")


def prepare_loss(network: LongLlavaForConditionalGeneration) -> LossHead:
    """Let a network's head compute the loss; its parameters and their names stay.

    Where an adapter trains the head whole, its copy is the one that computes: call this after the
    adapter is on.
    """
    head = network.lm_head
    if isinstance(head, ModulesToSaveWrapper):
        head = head.modules_to_save[head.active_adapter]
    if type(head) is nn.Linear:
        head.__class__ = LossHead
    assert isinstance(head, LossHead)
    return head


def summed_loss(model: Any, head: LossHead, batch: Batch) -> Tensor:
    """Return the loss of one row, summed over its learned positions.

    Dividing the sum by the learned positions of all rows of a step makes every token count the
    same, however samples were packed.

    Args:
        model: The network, or what wraps it.
        head: Its head, from `prepare_loss`.
        batch: One row.
    """
    labels = batch["labels"][0, 1:]
    positions = (labels != IGNORED).nonzero().flatten()
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    head.targets = labels[positions]
    try:
        summed: Tensor = model(**inputs, logits_to_keep=positions, use_cache=False).logits
    finally:
        head.targets = None
    return summed


def learned_tokens(batch: Batch) -> int:
    """Return the number of learned positions of a row."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())
