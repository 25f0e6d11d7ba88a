"""A CT phantom as NIfTI files whose headers say anything at all, and what refuses them."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.nifti.open import open_nifti

PHANTOM = chest_phantom(shape=(12, 40, 44), spacing_mm=(25.0, 9.0, 9.0))
VALUES = np.ascontiguousarray(PHANTOM.hu[::-1, ::-1, ::-1].transpose(2, 1, 0))  # right, front, head
AFFINE = np.diag([9.0, 9.0, 25.0, 1.0])
AFFINE[:3, 3] = -AFFINE[:3, :3] @ ((np.array(VALUES.shape) - 1) / 2)


def image(values: Any = VALUES, kind: Any = nibabel.Nifti1Image) -> Any:
    made = kind(values, AFFINE, dtype=values.dtype)
    made.header.set_xyzt_units("mm")
    made.set_sform(AFFINE, code=1)
    made.set_qform(AFFINE, code=1)
    return made


def save(folder: Path, made: Any, name: str = "scan.nii") -> Path:
    nibabel.save(made, folder / name)
    return folder / name


def changed(folder: Path, **fields: Any) -> Path:
    """A plain NIfTI-1 file with header fields set to anything at all."""
    made = image()
    header = made.header.copy()
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    path = folder / "scan.nii"
    path.write_bytes(header.binaryblock + bytes(4) + VALUES.tobytes(order="F"))
    return path


def refused(path: Path, error: type[Exception], code: str, **options: Any) -> Any:
    with pytest.raises(error) as caught:
        open_nifti(path, **options)
    assert caught.value.code == code  # type: ignore[attr-defined]
    return caught.value
