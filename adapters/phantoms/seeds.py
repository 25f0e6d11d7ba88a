"""The draws of a phantom: everything about it follows from its seed."""

import numpy as np

from longllava_domains.errors import PolicyError


def require_seed(seed: int) -> None:
    """Refuse a seed that draws nothing.

    Raises:
        PolicyError: The seed is below 0.
    """
    if seed < 0:
        raise PolicyError(
            f"There is no phantom of the seed {seed}.",
            remedy="Pass a whole number of at least 0.",
            code="phantom.seed",
        )


def chance_of(kind: int, seed: int) -> np.random.Generator:
    """Return the draws of one phantom.

    Args:
        kind: Fixed number of the kind of phantom.
        seed: 0 or more.

    Raises:
        PolicyError: The seed is below 0.
    """
    require_seed(seed)
    return np.random.default_rng((kind, seed))
