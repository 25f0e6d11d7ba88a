"""The 348 or 540 bytes of a NIfTI header, read strictly: what the file claims, nothing decided."""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.hounsfield.rescale import Scale
from longllava_domains.errors import DamagedInputError, UnsupportedInputError

HEADER_BYTES: Final = 540  # NIfTI-2's; NIfTI-1 needs 348
_REAL_TYPES: Final = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_OTHER_TYPES: Final = {
    1: "one-bit", 32: "complex", 128: "RGB", 1536: "128-bit", 1792: "complex", 2048: "complex",
    2304: "RGBA",
}  # fmt: skip
# Millimetres in the spatial unit codes; 0 (unknown) is taken as millimetres and reported.
_UNITS_MM: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class NiftiHeader:
    """Claims of a NIfTI header.

    Attributes:
        shape: Voxels along i, j, k (fastest first).
        dtype: Stored number type with its byte order.
        offset: First byte of the voxels in the file that holds them.
        pair: True where the voxels are in a separate .img file.
        scale: Slope and intercept; 1 and 0 where the header sets none, None where they are not
            finite numbers.
        unit_mm: Millimetres in the header's unit.
        sform_code: Above 0 where `sform` holds.
        qform_code: Above 0 where the quaternion holds.
        pixdim: Spacing along i, j, k in the header's unit; None where it is not above 0.
        sform: (4, 4) from (i, j, k) to RAS in the header's unit.
        qform: The same from quaternion and pixdim; None where they cannot make one.
        codes: Report codes of what was unusual.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    pair: bool
    scale: Scale | None
    unit_mm: float
    sform_code: int
    qform_code: int
    pixdim: tuple[float, float, float] | None
    sform: NDArray[np.float64]
    qform: NDArray[np.float64] | None
    codes: tuple[str, ...]

    @property
    def voxel_bytes(self) -> int:
        """Bytes that the voxels take."""
        return prod(self.shape) * self.dtype.itemsize


def parse_header(block: bytes) -> NiftiHeader:
    """Read a header from the first bytes of a .nii or .hdr file, either byte order.

    Raises:
        DamagedInputError: Too short, or fields that contradict each other.
        UnsupportedInputError: Not NIfTI, ANALYZE 7.5, more than three dimensions, or a number
            type that is not a real number.
    """
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

    kinds = {
        b"n+1\0": (Nifti1Header, 348), b"ni1\0": (Nifti1PairHeader, 348),
        b"n+2\0": (Nifti2Header, 540), b"ni2\0": (Nifti2PairHeader, 540),
    }  # fmt: skip
    magic = block[344:348] if block[344:347] in (b"n+1", b"ni1") else block[4:8]
    order, size = _byte_order(block)
    if order and magic not in kinds and size == 348:
        raise _unsupported("is ANALYZE 7.5, which does not say left from right", "nifti.analyze")
    if not order or magic not in kinds or kinds[magic][1] != size:
        raise _unsupported("is not NIfTI", "nifti.magic")
    kind, _ = kinds[magic]
    if len(block) < size:
        raise damaged("the header is cut off", "nifti.truncated")
    raw = kind(block[:size], endianness=order, check=False)
    codes: list[str] = []
    shape = _shape(raw["dim"])
    pixdim = _pixdim(raw["pixdim"][1:4], codes)
    return NiftiHeader(
        shape=shape,
        dtype=_dtype(int(raw["datatype"]), int(raw["bitpix"]), order),
        offset=_offset(float(raw["vox_offset"]), size, pair=magic[:2] == b"ni"),
        pair=magic[:2] == b"ni",
        scale=_scale(float(raw["scl_slope"]), float(raw["scl_inter"]), codes),
        unit_mm=_unit_mm(int(raw["xyzt_units"]), codes),
        sform_code=int(raw["sform_code"]),
        qform_code=int(raw["qform_code"]),
        pixdim=pixdim,
        sform=np.asarray(raw.get_sform(), np.float64),
        qform=None if pixdim is None else _qform(raw, codes),
        codes=tuple(codes),
    )


def _byte_order(block: bytes) -> tuple[str, int]:
    """Return nibabel's sign for the byte order and the header's size, by its first field."""
    for sign, order in (("<", "little"), (">", "big")):
        size = int.from_bytes(block[:4], order)  # type: ignore[arg-type]
        if size in (348, 540):
            return sign, size
    return "", 0


def _pixdim(steps: NDArray[Any], codes: list[str]) -> tuple[float, float, float] | None:
    if not np.isfinite(steps).all() or (steps <= 0).any():
        codes.append("nifti.pixdim_invalid")
        return None
    return float(steps[0]), float(steps[1]), float(steps[2])


def _qform(raw: Any, codes: list[str]) -> NDArray[np.float64] | None:
    """Return the quaternion's affine; a zero qfac means 1 (nifti1.h)."""
    raw = raw.copy()
    if raw["pixdim"][0] not in (-1, 1):
        if raw["pixdim"][0] != 0:
            codes.append("nifti.qfac")
        raw["pixdim"][0] = 1
    try:
        qform = np.asarray(raw.get_qform(), np.float64)
    except ValueError:  # nibabel: a quaternion longer than 1
        qform = np.full((4, 4), np.nan)
    if np.isfinite(qform).all():
        return qform
    codes.append("nifti.qform_invalid")
    return None


def _shape(dim: NDArray[Any]) -> tuple[int, int, int]:
    dimensions = int(dim[0])
    if not 1 <= dimensions <= 7:
        raise damaged("the header names an impossible number of dimensions", "nifti.dim")
    sizes = [int(size) for size in dim[1 : dimensions + 1]]
    if min(sizes) < 1:
        raise damaged("a dimension has no voxels", "nifti.dim")
    if dimensions < 3 or any(size > 1 for size in sizes[3:]):
        found = " x ".join(map(str, sizes))
        raise _unsupported(f"has {found} voxels, which is not one volume", "nifti.dimensions")
    return sizes[0], sizes[1], sizes[2]


def _dtype(datatype: int, bits: int, order: str) -> np.dtype[Any]:
    if datatype in _OTHER_TYPES:
        raise _unsupported(f"holds {_OTHER_TYPES[datatype]} voxels", "nifti.datatype")
    if datatype not in _REAL_TYPES:
        raise damaged("the header names an unknown number type", "nifti.datatype")
    dtype = np.dtype(order + _REAL_TYPES[datatype])
    if dtype.itemsize * 8 != bits:
        raise damaged("the header's number type and its bits disagree", "nifti.datatype")
    return dtype


def _offset(claimed: float, size: int, *, pair: bool) -> int:
    lowest = 0 if pair else size + 4
    if not (np.isfinite(claimed) and claimed == int(claimed) and lowest <= claimed < 2**31):
        raise damaged("the header says that voxels begin where they cannot", "nifti.offset")
    return int(claimed)


def _scale(slope: float, intercept: float, codes: list[str]) -> Scale | None:
    """Return the scale; a slope of 0 or NaN means that none is set (nifti1.h, nibabel)."""
    if slope == 0 or np.isnan(slope):
        codes.append("nifti.scale_unset")
        return Scale()
    return Scale(slope, intercept) if np.isfinite([slope, intercept]).all() else None


def _unit_mm(units: int, codes: list[str]) -> float:
    spatial = units & 7
    if spatial not in _UNITS_MM:
        raise damaged("the header names an unknown unit of length", "nifti.units")
    if spatial == 0:
        codes.append("nifti.units_unknown")
    return _UNITS_MM[spatial]


def damaged(found: str, code: str) -> DamagedInputError:
    """Return the error for a NIfTI file that contradicts itself."""
    return DamagedInputError(
        f"The NIfTI file is damaged: {found}.",
        remedy="Convert or download it again.",
        code=code,
    )


def _unsupported(found: str, code: str) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"The file {found}.",
        remedy="Give one CT volume as .nii, .nii.gz, a .hdr/.img pair, or its DICOM folder.",
        code=code,
    )
