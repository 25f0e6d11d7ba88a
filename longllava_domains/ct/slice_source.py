"""`SliceSource` and `SliceStack`: slices that are read when needed, at proved places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from longllava_domains.errors import GeometryError
from longllava_domains.load_report import LoadReport

At = Literal["grid", "acquired"]


class SliceSource(Protocol):
    """Source of the slices of a volume.

    Guarantees: `shape` is (slices, rows, columns), head first, anterior first, patient right
    first; `read` returns int16 Hounsfield units (len(indices), rows, columns) in the order
    asked for and decodes nothing else; reading twice gives the same values.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        ...

    @property
    def instances(self) -> tuple[tuple[str, ...], ...]:
        """Short hashes of the source instances of each slice."""
        ...

    @property
    def synthetic(self) -> tuple[bool, ...]:
        """True for each slice that a repair made up."""
        ...

    def read(self, indices: Sequence[int]) -> NDArray[np.int16]:
        """Decode these slices to Hounsfield units."""
        ...

    def content_sha256(self) -> str:
        """Return the SHA-256 of the source bytes that the volume is made from."""
        ...

    def source_headers(self) -> Sequence[Any] | None:
        """Re-read the DICOM headers (pydicom datasets without pixels); None where there are none."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedSlices:
    """Slices and where each lies: on an even grid, or as they were acquired.

    Attributes:
        source: Where they come from.
        z_mm: Position of each slice centre along the slice normal, falling from the head.
        thickness_mm: Extent of each along the normal.
        pixel_spacing_mm: Between rows, between columns.
        spacing_mm: Between slices; None where they are on no grid.
    """

    source: SliceSource
    z_mm: NDArray[np.float64]
    thickness_mm: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    spacing_mm: float | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.source.shape


class SliceStack:
    """Slices whose places and Hounsfield units were proved when they were opened.

    Args:
        source: Where slices come from.
        affine_ras_mm: (4, 4) from (slice, row, column) to RAS millimetres of voxel centres, or
            why the slices are on no even grid.
        report: What the loader found and did.
        facts: Acquisition facts that cannot identify anyone, such as ``{"kernel": "soft"}``.
        acquired: The slices as they were acquired; by default those of the grid.
    """

    def __init__(
        self,
        source: SliceSource,
        affine_ras_mm: NDArray[np.float64] | GeometryError,
        report: LoadReport,
        facts: dict[str, str | float] | None = None,
        *,
        acquired: PlacedSlices | None = None,
    ) -> None:
        self.source = source
        self._refusal = affine_ras_mm if isinstance(affine_ras_mm, GeometryError) else None
        if not isinstance(affine_ras_mm, GeometryError):
            self._affine_ras_mm = np.array(affine_ras_mm, np.float64)
            self._affine_ras_mm.flags.writeable = False
        self.report = report
        self.facts = dict(facts or {})
        self._acquired = acquired

    @property
    def has_grid(self) -> bool:
        """True where the slices are one array on an even, straight grid."""
        return self._refusal is None

    @property
    def affine_ras_mm(self) -> NDArray[np.float64]:
        """(4, 4) from (slice, row, column) to RAS millimetres of voxel centres.

        Raises:
            GeometryError: The slices are on no even grid.
        """
        self._need_grid()
        return self._affine_ras_mm

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.source.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (slice, row, column), millimetres.

        Raises:
            GeometryError: The slices are on no even grid.
        """
        norms = np.linalg.norm(self.affine_ras_mm[:3, :3], axis=0)
        return float(norms[0]), float(norms[1]), float(norms[2])

    def z_mm(self, index: float) -> float:
        """Position of a slice centre along the slice normal, millimetres, increasing to the head.

        Args:
            index: Slice number, 0 at the head; whole where the slices are on no even grid.
        """
        if not self.has_grid:
            return float(self.slices("acquired").z_mm[int(index)])
        normal = np.cross(self.affine_ras_mm[:3, 2], self.affine_ras_mm[:3, 1])
        normal = normal / np.linalg.norm(normal)
        if normal @ self.affine_ras_mm[:3, 0] > 0:
            normal = -normal
        centre = self.affine_ras_mm[:3, 3] + index * self.affine_ras_mm[:3, 0]
        return float(normal @ centre)

    def slices(self, at: At = "grid") -> PlacedSlices:
        """Return the slices and their places.

        Args:
            at: ``"grid"``: on the even grid, with what repairs made up; ``"acquired"``: those
                that exist, each at its own place and neither straightened nor interpolated.

        Raises:
            GeometryError: ``"grid"``, and the slices are on none.
        """
        if at == "acquired" and self._acquired is not None:
            return self._acquired
        spacing_mm = self.spacing_mm
        count = self.shape[0]
        step = self.z_mm(1) - self.z_mm(0)
        z_mm = np.asarray(self.z_mm(0) + step * np.arange(count), np.float64)
        thickness_mm = np.full(count, spacing_mm[0])
        return PlacedSlices(self.source, z_mm, thickness_mm, spacing_mm[1:], spacing_mm[0])

    def _need_grid(self) -> None:
        if self._refusal is not None:
            why = self._refusal
            raise GeometryError(why.message, remedy=why.remedy, code=why.code, facts=why.facts)
