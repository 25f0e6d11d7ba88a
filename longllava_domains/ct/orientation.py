"""Turn any array with an affine to the one order of this package, without copying."""

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import GeometryError

# Axes count as perpendicular below this cosine: 0.6 mm of shear over a 600 mm body.
PERPENDICULAR: float = 1e-3


def to_radiological(
    values: NDArray[Any], affine_ras_mm: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Order axes as (slices, rows, columns): head first, anterior first, patient right first.

    Each array axis goes to the body axis it is closest to; nothing is interpolated, so a volume
    that was scanned obliquely stays oblique, and its affine says so.

    Args:
        values: Three axes in any order.
        affine_ras_mm: (4, 4) from those indices to RAS millimetres of voxel centres.

    Returns:
        A view of the values, and the affine from its indices to the same places.
    """
    linear, origin = affine_ras_mm[:3, :3], affine_ras_mm[:3, 3]
    closeness = np.abs(linear / np.linalg.norm(linear, axis=0))
    # order[0] is the array axis that runs head to foot, then front to back, then right to left.
    order = max(permutations(range(3)), key=lambda p: sum(closeness[2 - i, p[i]] for i in range(3)))
    turned = values.transpose(order)
    steps = linear[:, order].copy()
    start = origin.copy()
    for axis in range(3):
        if steps[2 - axis, axis] > 0:  # RAS coordinates rise to right, anterior and head
            turned = np.flip(turned, axis)
            start += steps[:, axis] * (turned.shape[axis] - 1)
            steps[:, axis] = -steps[:, axis]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, start
    return turned, affine


def check_affine(affine_ras_mm: NDArray[np.float64]) -> None:
    """Refuse an affine that is not a grid of perpendicular axes with plausible spacing.

    Raises:
        GeometryError: Not finite, sheared, or a spacing outside 0.05 to 50 mm.
    """
    if affine_ras_mm.shape != (4, 4) or not np.isfinite(affine_ras_mm).all():
        raise GeometryError(
            "The affine is not a 4 x 4 matrix of finite numbers.",
            remedy="Give the matrix from voxel indices to RAS millimetres.",
            code="geometry.affine",
        )
    linear = affine_ras_mm[:3, :3]
    spacing = np.linalg.norm(linear, axis=0)
    facts = {"spacing_mm": tuple(round(float(step), 6) for step in spacing)}
    if spacing.min() < 0.05 or spacing.max() > 50 or np.abs(affine_ras_mm[:3, 3]).max() > 1e5:
        raise GeometryError(
            "The voxel spacing or position is not that of a CT: "
            + " x ".join(f"{step:.4g}" for step in spacing)
            + " mm.",
            remedy="Check the unit of the affine; it must be millimetres.",
            code="geometry.spacing",
            facts=facts,
        )
    axes = linear / spacing
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)])
    if cosines.max() > PERPENDICULAR:
        angle = float(np.degrees(np.arcsin(min(1.0, cosines.max()))))
        raise GeometryError(
            f"The voxel axes are sheared by {angle:.2f} degrees.",
            remedy="Resample the volume to perpendicular axes first, or load the original DICOM.",
            code="geometry.sheared",
            facts={"shear_deg": round(angle, 4), **facts},
        )


def oblique_deg(affine_ras_mm: NDArray[np.float64]) -> float:
    """Return the largest angle between an array axis and the body axis it stands for, degrees."""
    linear = affine_ras_mm[:3, :3]
    axes = np.abs(linear / np.linalg.norm(linear, axis=0))
    aligned = min(axes[2, 0], axes[1, 1], axes[0, 2])
    return float(np.degrees(np.arccos(min(1.0, aligned))))
