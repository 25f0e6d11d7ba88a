"""A volume from an array in memory, and the slice source that decoded files share with it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from longllava_domains.ct.hounsfield.rescale import HuRule, Rescaled, Scale, to_hounsfield
from longllava_domains.ct.orientation import check_affine, oblique_deg, to_radiological
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import GeometryError, UnsupportedInputError
from longllava_domains.load_report import LoadReport
from longllava_domains.units import content_hash


class ArraySource:
    """Slices of an array that is already in memory; implements `SliceSource`.

    Args:
        hu: int16 (slices, rows, columns), head first, anterior first, patient right first; may
            be a view with any strides.
        digest: Returns the SHA-256 of the bytes that the array came from.
    """

    def __init__(self, hu: NDArray[np.int16], digest: Callable[[], str]) -> None:
        self._hu = hu.view()
        self._hu.flags.writeable = False
        self._digest = digest
        self._sha256: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        slices, rows, columns = self._hu.shape
        return slices, rows, columns

    @property
    def instances(self) -> tuple[tuple[str, ...], ...]:
        """Empty for each slice: an array has no instances."""
        return ((),) * self.shape[0]

    @property
    def synthetic(self) -> tuple[bool, ...]:
        """False for each slice."""
        return (False,) * self.shape[0]

    def read(self, indices: Sequence[int]) -> NDArray[np.int16]:
        """Return a copy of these slices, contiguous."""
        slices = np.empty((len(indices), *self._hu.shape[1:]), np.int16)
        for position, index in enumerate(indices):
            slices[position] = self._hu[index]
        return slices

    def content_sha256(self) -> str:
        """Return the SHA-256 of the bytes that the array came from."""
        if self._sha256 is None:
            self._sha256 = self._digest()
        return self._sha256

    def source_headers(self) -> None:
        """Return None: there are no DICOM headers."""
        return None


def volume_from_array(
    array: ArrayLike, affine_ras_mm: ArrayLike, *, hu: HuRule = "prove"
) -> CTVolume:
    """Make a volume from an array and its affine; a MONAI MetaTensor's two parts fit.

    Args:
        array: Three axes in any order and direction, or a leading channel axis of length 1 before
            them; any real number type.
        affine_ras_mm: (4, 4) from the three indices to RAS millimetres of voxel centres.
        hu: As for `ct.open_volume`.

    Returns:
        The volume in this package's order, in int16 Hounsfield units.

    Raises:
        UnsupportedInputError: Not a three-dimensional array of real numbers.
        GeometryError: The affine is sheared, or its spacing cannot be a CT's.
        IntensityError: The values are not proved to be Hounsfield units.
    """
    values = np.asarray(array)
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 3 or values.size == 0 or values.dtype.kind not in "iuf":
        raise UnsupportedInputError(
            f"A volume needs three axes of real numbers; found {values.dtype} {values.shape}.",
            remedy="Pass one three-dimensional array; select one phase of a series of volumes.",
            code="array.shape",
        )
    try:
        affine = np.asarray(affine_ras_mm, np.float64)
    except (TypeError, ValueError):
        raise GeometryError(
            "The affine does not hold numbers.",
            remedy="Pass the (4, 4) matrix from indices to RAS millimetres.",
            code="affine.numbers",
        ) from None
    check_affine(affine)
    digest = content_hash([np.ascontiguousarray(values).data, affine.tobytes()])
    rescaled = to_hounsfield(values, Scale(), hu)
    if rescaled.hu is values:
        rescaled.hu = values.copy(order="K")  # the caller may still write to theirs
    return assemble(rescaled, affine, "array", lambda: digest)


def assemble(
    rescaled: Rescaled,
    affine_ras_mm: NDArray[np.float64],
    source_kind: str,
    digest: Callable[[], str],
) -> CTVolume:
    """Orient proved values and put the volume together.

    Args:
        rescaled: Hounsfield units in the order of `affine_ras_mm`, with report codes.
        affine_ras_mm: (4, 4) from those indices to RAS millimetres, checked.
        source_kind: As `LoadReport.source_kind`.
        digest: Returns the SHA-256 of the source.
    """
    turned, affine = to_radiological(rescaled.hu, affine_ras_mm)
    numbers = {**rescaled.numbers, "oblique_deg": round(oblique_deg(affine), 4)}
    report = LoadReport(source_kind, rescaled.codes, numbers)
    return CTVolume(ArraySource(turned, digest), affine, report)
