"""Synthetic anatomy in Hounsfield units: what examples and tests look at without a patient.

The chest phantom is asymmetric on purpose: the liver is on the patient's right and below the
lungs, the heart and the stomach air on the left, the spine behind. A flipped or reversed volume
looks wrong at a glance, and fails a test.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.seeds import require_seed
from longllava_domains.arguments import checked
from longllava_domains.errors import PolicyError

AIR_HU, LUNG_HU, FAT_HU, WATER_HU, MUSCLE_HU, LIVER_HU, BLOOD_HU, BONE_HU = (
    -1000, -850, -90, 5, 50, 60, 45, 700,
)  # fmt: skip
Finding = Literal["nodule", "effusion"]


@dataclass(frozen=True)
class ChestPhantom:
    """A chest CT that never was.

    Attributes:
        hu: int16 (slices, rows, columns): head, anterior and patient right first.
        spacing_mm: Between voxel centres along (slice, row, column).
        findings: What was planted: name -> centre in millimetres from the first voxel, as
            (slice, row, column).
    """

    hu: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    findings: dict[str, tuple[float, float, float]]

    @property
    def affine_ras_mm(self) -> NDArray[np.float64]:
        """(4, 4) from (slice, row, column) to RAS millimetres, the centre voxel at the origin."""
        dz, dy, dx = self.spacing_mm
        affine = np.array([[0, 0, -dx, 0], [0, -dy, 0, 0], [-dz, 0, 0, 0], [0, 0, 0, 1]], float)
        centre = (np.array(self.hu.shape) - 1) / 2
        affine[:3, 3] = -affine[:3, :3] @ centre
        return affine


@checked
def chest_phantom(
    *,
    shape: tuple[int, int, int] = (40, 192, 192),
    spacing_mm: tuple[float, float, float] = (7.5, 2.0, 2.0),
    findings: tuple[Finding, ...] = (),
    noise_hu: float = 8.0,
    seed: int = 0,
) -> ChestPhantom:
    """Draw a chest phantom.

    Args:
        shape: Slices, rows, columns.
        spacing_mm: Between voxel centres, in the same order.
        findings: A 14 mm ``"nodule"`` in the right upper lobe; an ``"effusion"`` in the left
            costophrenic recess.
        noise_hu: Standard deviation of Gaussian noise; 0 for none.
        seed: Of the noise.

    Returns:
        The phantom, int16 Hounsfield units from -1024 up.

    Raises:
        PolicyError: The seed or the noise is below 0.
    """
    require_seed(seed)
    if noise_hu < 0:
        raise PolicyError(
            f"Noise of {noise_hu:g} HU is below none.",
            remedy="Pass a standard deviation of at least 0.",
            code="phantom.noise",
        )
    z, y, x = millimetre_grid(shape, spacing_mm)
    hu = np.full(shape, AIR_HU, np.float32)
    draw_anatomy(hu, z, y, x)
    planted = {name: _plant(hu, z, y, x, name) for name in findings}
    hu += np.random.default_rng(seed).normal(0, noise_hu, shape) if noise_hu else 0
    origin = (np.array(shape) - 1) / 2 * np.array(spacing_mm)
    return ChestPhantom(
        np.rint(np.clip(hu, -1024, 3071)).astype(np.int16),
        spacing_mm,
        {
            name: (
                float(centre[0] + origin[0]),
                float(centre[1] + origin[1]),
                float(centre[2] + origin[2]),
            )
            for name, centre in planted.items()
        },
    )


Grid = NDArray[np.float32]


def draw_anatomy(hu: Grid, z: Grid, y: Grid, x: Grid) -> None:
    """Draw body, lungs, organs and bones into a volume of air.

    Args:
        hu: (slices, rows, columns), changed in place.
        z: Millimetres from the centre towards the feet, as `millimetre_grid` returns them.
        y: Millimetres backwards.
        x: Millimetres to the patient's left.
    """
    _draw_body(hu, z, y, x)
    _draw_lungs(hu, z, y, x)
    _draw_organs(hu, z, y, x)
    _draw_bones(hu, z, y, x)


def millimetre_grid(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> tuple[Grid, Grid, Grid]:
    """Return coordinates from the centre: z to the feet, y backwards, x to the patient's left."""
    axes = [
        ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * step)
        for n, step in zip(shape, spacing_mm, strict=True)
    ]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def ellipsoid(
    z: Grid, y: Grid, x: Grid, centre: tuple[float, float, float], radii: tuple[float, ...]
) -> NDArray[np.bool_]:
    """Return which voxels lie in an ellipsoid, all lengths in millimetres."""
    offsets = zip((z, y, x), centre, radii, strict=True)
    squares = [((axis - c) / r) ** 2 for axis, c, r in offsets]
    return np.asarray(squares[0] + squares[1] + squares[2] <= 1)


def _draw_body(hu: Grid, z: Grid, y: Grid, x: Grid) -> None:
    """Skin, a rim of fat and muscle, and a table below the back."""
    trunk = (y / 115) ** 2 + (x / 165) ** 2
    everywhere = np.zeros_like(z)
    hu[(trunk + everywhere) <= 1] = FAT_HU
    hu[((y / 105) ** 2 + (x / 152) ** 2 + everywhere) <= 1] = MUSCLE_HU
    hu[np.broadcast_to((np.abs(y - 135) < 5) & (np.abs(x) < 170), hu.shape)] = -300


def _draw_lungs(hu: Grid, z: Grid, y: Grid, x: Grid) -> None:
    """Two lungs, the right one shorter (the liver), with vessels that thin outwards."""
    right = ellipsoid(z, y, x, (-35, 0, -75), (130, 82, 58))
    left = ellipsoid(z, y, x, (-20, 0, 78), (145, 82, 55))
    hu[right | left] = LUNG_HU
    for side, lung in ((-1, right), (1, left)):
        for angle in np.linspace(-1.2, 1.2, 7):
            # A straight vessel from the hilum: distance to a ray in the coronal-sagittal plane.
            along = (x - side * 35) * side * np.cos(angle) + y * np.sin(angle)
            across = -(x - side * 35) * side * np.sin(angle) + y * np.cos(angle)
            radius = np.clip(5 - along / 18, 0.8, 5)
            vessel = (across**2 + (z + 30 + 12 * angle * side) ** 2 <= radius**2) & (along > 0)
            hu[vessel & lung] = BLOOD_HU


def _draw_organs(hu: Grid, z: Grid, y: Grid, x: Grid) -> None:
    """Heart and aorta to the left, liver to the right, gas in the stomach, the trachea."""
    hu[ellipsoid(z, y, x, (25, -22, 22), (60, 48, 52))] = BLOOD_HU
    hu[ellipsoid(z, y, x, (115, -10, -60), (60, 80, 82))] = LIVER_HU
    hu[ellipsoid(z, y, x, (125, -40, 70), (28, 25, 35))] = AIR_HU
    aorta = np.broadcast_to((y - 45) ** 2 + (x - 24) ** 2 <= 13**2, hu.shape)
    hu[aorta] = BLOOD_HU
    trachea = ((y - 5) ** 2 + x**2 <= 9**2) & (z < -45)
    hu[trachea] = AIR_HU


def _draw_bones(hu: Grid, z: Grid, y: Grid, x: Grid) -> None:
    """Spine with discs, sternum and slanting ribs."""
    body = np.broadcast_to((y - 75) ** 2 / 18**2 + x**2 / 22**2 <= 1, hu.shape)
    disc = np.broadcast_to(np.mod(z, 30) < 6, hu.shape)
    hu[body & ~disc] = BONE_HU
    hu[body & disc] = 90
    canal = np.broadcast_to((y - 98) ** 2 + x**2 <= 8**2, hu.shape)
    hu[canal] = WATER_HU
    hu[np.broadcast_to((np.abs(y + 92) < 6) & (np.abs(x) < 18) & (z < 40), hu.shape)] = BONE_HU
    shell = (y / 100) ** 2 + (x / 146) ** 2
    ribs = (shell > 0.86) & (shell < 1) & (np.mod(z + 0.35 * y, 26) < 9) & (z < 110)
    hu[ribs & (np.abs(x) > 25)] = 400


def _plant(hu: Grid, z: Grid, y: Grid, x: Grid, finding: Finding) -> tuple[float, float, float]:
    """Draw one finding and return its centre, millimetres from the centre of the volume."""
    if finding == "nodule":
        centre = (-85.0, -15.0, -80.0)
        hu[ellipsoid(z, y, x, centre, (7, 7, 7))] = 40
        return centre
    centre = (85.0, 70.0, 95.0)
    fluid = ellipsoid(z, y, x, centre, (50, 30, 40)) & (hu == LUNG_HU)
    hu[fluid] = 12
    return centre
