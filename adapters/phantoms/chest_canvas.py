"""A chest that is being drawn: paint parts of it, and remember where each finding lies."""

import numpy as np
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import LUNG_HU, Grid

Place = tuple[float, float, float]
Where = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]


class ChestCanvas:
    """A volume in Hounsfield units with the place of everything that was planted in it.

    Places and radii are (towards the feet, backwards, to the patient's left), millimetres of the
    reference body, from the middle of its chest.

    Args:
        hu: float32 (slices, rows, columns), drawn on in place.
        axes: The coordinate of every slice, row and column.

    Attributes:
        hu: The volume.
        marks: Name of a finding -> bool, the shape of the volume: where it is.
    """

    def __init__(self, hu: NDArray[np.float32], axes: tuple[Grid, Grid, Grid]) -> None:
        self.hu = hu
        self.marks: dict[str, Mask] = {}
        self._axes = tuple(axis.ravel() for axis in axes)

    def around(self, centre: Place, radii: Place) -> tuple[Where, tuple[Grid, Grid, Grid]]:
        """Return the box of voxels within the radii, and their offsets from the centre."""
        where, offsets = [], []
        for axis, (coordinates, c, r) in enumerate(zip(self._axes, centre, radii, strict=True)):
            first, last = np.searchsorted(coordinates, (c - r, c + r))
            where.append(slice(int(first), int(last)))
            shape = [1, 1, 1]
            shape[axis] = -1
            offsets.append((coordinates[first:last] - c).astype(np.float32).reshape(shape))
        return (where[0], where[1], where[2]), (offsets[0], offsets[1], offsets[2])

    def ellipsoid(self, centre: Place, radii: Place) -> tuple[Where, Mask]:
        """Return a box, and which of its voxels lie in the ellipsoid."""
        where, (z, y, x) = self.around(centre, radii)
        return where, np.asarray(
            (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1
        )

    def lung(self, where: Where) -> Mask:
        """Return which voxels of a box are lung that nothing was drawn on."""
        return np.asarray(self.hu[where] == LUNG_HU)

    def paint(self, name: str, where: Where, inside: Mask, value_hu: float | Grid) -> None:
        """Paint voxels of a box, and mark them as the finding's; an empty name marks nothing."""
        part = self.hu[where]
        part[inside] = value_hu if isinstance(value_hu, (int, float)) else value_hu[inside]
        if name:
            self.mark(name, where, inside)

    def mark(self, name: str, where: Where, inside: Mask) -> None:
        """Mark voxels of a box as the finding's."""
        marked = self.marks.setdefault(name, np.zeros(self.hu.shape, np.bool_))
        marked[where] |= inside

    def lung_place(self, chance: np.random.Generator, low_z: float, high_z: float) -> Place:
        """Draw a place well inside a lung, between two heights; its side is even odds."""
        side = 1 if chance.random() < 0.5 else -1
        middle, height = (78.0, 145.0) if side > 0 else (-75.0, 130.0)
        z0 = -20.0 if side > 0 else -35.0
        z = float(chance.uniform(max(low_z, z0 - 0.75 * height), min(high_z, z0 + 0.75 * height)))
        room = float(np.sqrt(max(1 - ((z - z0) / height) ** 2, 0.1)))
        angle, reach = chance.uniform(0, 2 * np.pi), 0.72 * np.sqrt(chance.random())
        y = float(82 * room * reach * np.sin(angle))
        x = float(middle + 56 * room * reach * np.cos(angle))
        return z, y, x
