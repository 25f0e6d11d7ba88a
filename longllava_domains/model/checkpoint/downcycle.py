"""One dense matrix in place of several experts (LongLLaVA paper, appendix C)."""

from collections.abc import Callable, Iterable
from typing import Final

import torch
from torch import Tensor

from longllava_domains.errors import PolicyError

# What the original script multiplies the kept expert's down_proj by: among sixteen experts its
# output had a small router weight, and alone at full strength the text is garbled.
REFERENCE_DOWN_SCALE: Final = 0.045

Combine = Callable[[Iterable[Tensor], int], Tensor]


def combination(method: str, experts: int) -> Combine:
    """Return how the same matrix of all experts of a layer becomes one.

    Args:
        method: ``"expert-K"`` keeps expert K (the released 9B kept ``expert-0``); ``"mean"`` is
            the arithmetic mean; ``"spherical"`` is the mean direction at the mean length.
        experts: How many there are.

    Returns:
        A function of the matrices, in order, and their number. It reads them one at a time and
        computes in float32.

    Raises:
        PolicyError: There is no such method or expert.
    """
    if method == "mean":
        return _mean
    if method == "spherical":
        return _spherical_mean
    name, _, number = method.partition("-")
    if name != "expert" or not number.isdigit() or int(number) >= experts:
        raise PolicyError(
            f"Experts cannot be combined by {method!r}.",
            remedy=f"Use mean, spherical, or expert-0 to expert-{experts - 1}.",
            code="convert.method",
        )
    kept = int(number)

    def keep(matrices: Iterable[Tensor], count: int) -> Tensor:
        return next(matrix.float() for index, matrix in enumerate(matrices) if index == kept)

    return keep


def _mean(matrices: Iterable[Tensor], count: int) -> Tensor:
    total = torch.zeros(())
    for matrix in matrices:
        total = total + matrix.float()
    return total / count


def _spherical_mean(matrices: Iterable[Tensor], count: int) -> Tensor:
    """Mean of the unit vectors, at the mean of the lengths; each matrix is one vector."""
    tiny = torch.finfo(torch.float32).tiny
    direction, length = torch.zeros(()), torch.zeros(())
    for matrix in matrices:
        norm: Tensor = torch.linalg.vector_norm(matrix.float())
        length = length + norm / count
        direction = direction + matrix.float() / norm.clamp_min(tiny)
    mean: Tensor = direction * (length / torch.linalg.vector_norm(direction).clamp_min(tiny))
    return mean
