"""A readout of the attention that an answer pays to each view."""

from collections.abc import Sequence

from torch import Tensor


class AttentionReadout:
    """Adds up the attention that answer tokens pay to each view.

    Each token that predicts a part of the answer counts once per attention layer; heads are
    averaged. Only the attention layers (one in eight) are seen: the state of the Mamba layers
    cannot be read per view, so this is where the model looked, not why it said what it said.

    Args:
        spans: For each view the (first, one past last) position of its tokens.
    """

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._spans = tuple(spans)
        self._mass = [0.0] * len(self._spans)
        self._count = 0

    def add(self, weights: Tensor) -> None:
        """Count one token of one layer: weights (1, tokens) that sum to 1."""
        totals = weights[0].double().cumsum(0).cpu()
        for view, (start, end) in enumerate(self._spans):
            before = float(totals[start - 1]) if start else 0.0
            self._mass[view] += float(totals[end - 1]) - before
        self._count += 1

    @property
    def per_view(self) -> tuple[float, ...]:
        """The mean share of attention on each view, 0 to 1; what is missing to 1 went to text."""
        return tuple(mass / max(self._count, 1) for mass in self._mass)
