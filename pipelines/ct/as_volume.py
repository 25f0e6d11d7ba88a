"""Turn what a user has (a path, an array, a MONAI tensor) into a `CTVolume`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longllava_domains import ct
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.hounsfield.rescale import HuRule
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.errors import UnsupportedInputError


@dataclass(frozen=True)
class CTOpenOptions:
    """The options of `ct.open_volume` beside the path.

    Attributes:
        series: Which series of a folder, see `ct.list_series`.
        kernel: Reconstruction preferred where no series is named.
        purpose: What the series is for, such as ``"chest"``.
        repair: What may be repaired, such as ``("tilt",)``.
        hu: ``"prove"``, ``"trust"``, or (slope, intercept).
    """

    series: int | str | None = None
    kernel: ReconstructionKernel | None = None
    purpose: str | None = None
    repair: tuple[str, ...] = ()
    hu: HuRule = "prove"


def as_volume(source: Any, options: CTOpenOptions | None = None) -> ct.CTVolume:
    """Open or wrap a CT.

    Args:
        source: A path; a `CTVolume`; a MONAI MetaTensor, (X, Y, Z) or (1, X, Y, Z) in Hounsfield
            units with its RAS affine; or a pair of a NumPy array in Hounsfield units and the
            (4, 4) affine from its indices to RAS millimetres.
        options: How a path is opened; the rest is taken as it is.

    Raises:
        InputError: The input cannot be proved to be a CT.
    """
    if isinstance(source, ct.CTVolume):
        return source
    if isinstance(source, (str, Path)):
        chosen = options or CTOpenOptions()
        series = chosen.kernel if chosen.series is None else chosen.series
        return ct.open_volume(
            source, series=series, purpose=chosen.purpose, repair=chosen.repair, hu=chosen.hu
        )
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
