"""`SliceSource` and `SliceStack`: slices that are read when needed, on a proved grid."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from longllava_domains.load_report import LoadReport


class SliceSource(Protocol):
    """Where the slices of a volume come from.

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


class SliceStack:
    """Slices on a grid whose geometry and Hounsfield units were proved when it was opened.

    Args:
        source: Where slices come from.
        affine_ras_mm: (4, 4) from (slice, row, column) to RAS millimetres of voxel centres.
        report: What the loader found and did.
        facts: Acquisition facts that cannot identify anyone, such as ``{"kernel": "soft"}``.
    """

    def __init__(
        self,
        source: SliceSource,
        affine_ras_mm: NDArray[np.float64],
        report: LoadReport,
        facts: dict[str, str | float] | None = None,
    ) -> None:
        self.source = source
        self.affine_ras_mm = np.array(affine_ras_mm, np.float64)
        self.affine_ras_mm.flags.writeable = False
        self.report = report
        self.facts = dict(facts or {})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.source.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (slice, row, column), millimetres."""
        norms = np.linalg.norm(self.affine_ras_mm[:3, :3], axis=0)
        return float(norms[0]), float(norms[1]), float(norms[2])

    def z_mm(self, index: float) -> float:
        """Position of a slice centre along the slice normal, millimetres, increasing to the head."""
        normal = np.cross(self.affine_ras_mm[:3, 2], self.affine_ras_mm[:3, 1])
        normal = normal / np.linalg.norm(normal)
        if normal @ self.affine_ras_mm[:3, 0] > 0:
            normal = -normal
        centre = self.affine_ras_mm[:3, 3] + index * self.affine_ras_mm[:3, 0]
        return float(normal @ centre)
