"""A clock of the vision tower, apart from the language model."""

import time
from collections.abc import Mapping
from typing import Any


class VisionClock:
    """Adds up the time of a model's vision tower and projector, by hooks on them.

    A model of another family without such a tower is not timed. On a GPU the tower is waited for
    before and after, some microseconds for each batch of views.

    Args:
        model: A loaded model.
    """

    def __init__(self, model: Any) -> None:
        self._spent = self._began = 0.0
        parts: Any = getattr(getattr(model, "network", None), "model", None)
        if hasattr(parts, "vision_tower") and hasattr(parts, "multi_modal_projector"):
            # The tower is left before its last layer, so its own end is never reached.
            parts.vision_tower.embeddings.register_forward_pre_hook(self._begin)
            parts.multi_modal_projector.register_forward_hook(self._end)

    def parted(self, seconds: Mapping[str, float], items: int = 1) -> dict[str, float]:
        """Return stages with the time of vision taken out of the first, and begin anew.

        Args:
            seconds: Stage -> time of one item; the views are looked at in the first.
            items: That were looked at since the last call, each for an equal share of the time.
        """
        spent, self._spent = self._spent / items, 0.0
        if not spent:
            return dict(seconds)
        first = next(iter(seconds))
        return {"vision": spent, **seconds, first: max(0.0, seconds[first] - spent)}

    def _begin(self, *_: Any) -> None:
        self._began = _now()

    def _end(self, *_: Any) -> None:
        self._spent += _now() - self._began


def _now() -> float:
    """Return the time when all work that was given to a GPU is done."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()
