"""Turn what a user has (a path, an array, a MONAI tensor) into a `CTVolume`."""

from pathlib import Path
from typing import Any

import numpy as np

from longllava_domains import ct
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.errors import UnsupportedInputError


def as_volume(
    source: Any,
    *,
    series: int | str | None = None,
    kernel: ReconstructionKernel | None = None,
    purpose: str | None = None,
) -> ct.CTVolume:
    """Open or wrap a CT.

    Args:
        source: A path; a `CTVolume`; a MONAI MetaTensor, (X, Y, Z) or (1, X, Y, Z) in Hounsfield
            units with its RAS affine; or a pair of a NumPy array in Hounsfield units and the
            (4, 4) affine from its indices to RAS millimetres.
        series: Which series of a folder, see `ct.list_series`.
        kernel: Reconstruction preferred where no series is named.
        purpose: What the series is for, see `ct.open_volume`.

    Raises:
        InputError: The input cannot be proved to be a CT.
    """
    if isinstance(source, ct.CTVolume):
        return source
    if isinstance(source, (str, Path)):
        wanted = kernel if series is None else series
        return ct.open_volume(source, series=wanted, purpose=purpose)
    if hasattr(source, "affine") and hasattr(source, "numpy"):
        array = np.asarray(source.numpy())
        affine = np.asarray(source.affine, dtype=np.float64)
        return volume_from_array(array[0] if array.ndim == 4 and len(array) == 1 else array, affine)
    if isinstance(source, tuple) and len(source) == 2:
        return volume_from_array(np.asarray(source[0]), np.asarray(source[1], dtype=np.float64))
    raise UnsupportedInputError(
        f"A {type(source).__name__} is not a CT.",
        remedy="Pass a path, a CTVolume, a MONAI MetaTensor, or (array, affine_ras_mm).",
        code="ct.input",
    )
