"""Open a NIfTI file as a CT volume whose place in space and whose unit are proved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from longllava_domains.ct.from_array import assemble
from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.hounsfield.rescale import HuSource, Scale, to_hounsfield
from longllava_domains.ct.nifti.header import NiftiHeader
from longllava_domains.ct.nifti.stream import read_stored
from longllava_domains.ct.orientation import check_affine
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import GeometryError, IntensityError, NotFoundError, PolicyError

REPAIRS: Final = ("assume_affine", "sform", "qform", "ct_rate_spacing")
# float32 headers keep positions of a few hundred millimetres to about this.
_ROUNDING_MM: Final = 0.01


def open_nifti(
    path: str | Path,
    *,
    repair: tuple[str, ...] = (),
    hu: HuSource = "prove",
) -> CTVolume:
    """Open NIfTI-1 or NIfTI-2: .nii, .nii.gz or a .hdr/.img pair, either byte order.

    The affine is the sform where its code is above 0, else the qform; where both hold they must
    agree. Where only one holds, nothing in the file confirms its directions and offsets, and
    damage there cannot be noticed. Axes may run any way; sheared ones are refused.

    Args:
        path: The file, or either half of a pair.
        repair: ``"assume_affine"`` takes axes without any code as right, anterior and head
            (nifti1.h, method 1); ``"sform"`` or ``"qform"`` settles a disagreement between the
            two or with pixdim; ``"ct_rate_spacing"`` takes CT-RATE's spacing over the header's.
        hu: ``"prove"``, ``"trust"``, (slope, intercept) instead of the header's, a `CtRateVolume`,
            or the table `read_ct_rate_metadata` returns, looked up by the file's name.

    Raises:
        NotFoundError: No such file, or CT-RATE's table does not list it.
        DamagedInputError: Truncated or inconsistent bytes.
        UnsupportedInputError: Not one volume of real numbers.
        GeometryError: The voxels' place is not proved.
        IntensityError: The values are not proved to be Hounsfield units.
        PolicyError: An unknown repair.
    """
    unknown = set(repair) - set(REPAIRS)
    if unknown:
        raise PolicyError(
            "There is no such repair for NIfTI.",
            remedy=f"Choose from {', '.join(REPAIRS)}.",
            code="nifti.repair",
        )
    path = Path(path)
    rule = _listed(path, hu) if isinstance(hu, Mapping) else hu
    files, header, stored, codes = read_stored(path)
    affine, found = _affine(header, repair)
    if isinstance(rule, CtRateVolume):
        affine, more = _ct_rate_spacing(affine, rule, repair)
        found += more
    check_affine(affine)
    scale = header.scale
    if scale is None:
        if not isinstance(rule, tuple):
            raise IntensityError(
                "The NIfTI header's slope or intercept is not a finite number.",
                remedy="Pass hu=(slope, intercept).",
                code="nifti.scale",
            )
        scale = Scale()
    rescaled = to_hounsfield(stored, scale, rule)
    rescaled.hu = rescaled.hu.reshape(header.shape, order="F")
    for code in (*header.codes, *codes, *found):
        rescaled.codes[code] = 1
    return assemble(rescaled, affine, "nifti", files.content_sha256)


def _listed(path: Path, table: Mapping[str, CtRateVolume]) -> CtRateVolume:
    if path.name not in table:
        raise NotFoundError(
            "CT-RATE's table does not list this file's name.",
            remedy="Pass the scan itself, or the table of the right split.",
            code="ct_rate.unlisted",
        )
    return table[path.name]


def _affine(header: NiftiHeader, repair: tuple[str, ...]) -> tuple[NDArray[np.float64], list[str]]:
    """Choose the affine in millimetres, and say by which codes."""
    unit = np.diag([header.unit_mm] * 3 + [1.0])
    steps = None if header.pixdim is None else np.array(header.pixdim) * header.unit_mm
    sform = unit @ header.sform if header.sform_code > 0 else None
    qform = unit @ header.qform if header.qform_code > 0 and header.qform is not None else None
    for name, affine in (("sform", sform), ("qform", qform)):
        if name in repair:
            if affine is None:
                raise _unproved(f"there is no valid {name} to hold to", f"nifti.{name}")
            return affine, [f"repair.{name}"]
    if sform is not None and qform is not None:
        return _agreed(sform, qform, header.shape)
    if sform is not None:
        return sform, ["nifti.sform", *_pixdim_codes(sform, steps)]
    if qform is not None:
        return qform, ["nifti.qform"]
    if header.qform_code > 0:
        raise _unproved("its qform has no valid quaternion or spacing", "nifti.qform")
    if "assume_affine" not in repair:
        raise _unproved("neither its sform nor its qform is set", "nifti.no_affine")
    if steps is None:
        raise _unproved("it has no valid spacing either", "nifti.pixdim")
    return np.diag([*steps, 1.0]), ["repair.assume_affine"]


def _agreed(
    sform: NDArray[np.float64],
    qform: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the sform where the qform turns no corner by more than half a voxel from it."""
    check_affine(sform)
    far = np.array(shape, np.float64) - 1
    between = (sform - qform)[:3]
    corners = [between[:, :3] @ (far * [i, j, k]) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    turned_mm = max(float(np.linalg.norm(corner)) for corner in corners)
    shifted_mm = float(np.linalg.norm(between[:, 3]))
    if turned_mm > 0.5 * float(np.linalg.norm(sform[:3, :3], axis=0).min()):
        raise GeometryError(
            f"The sform and the qform disagree by {turned_mm:.3g} mm over the volume.",
            remedy='Decide which one holds: repair=("sform",) or repair=("qform",).',
            code="nifti.forms_disagree",
            facts={"turned_mm": round(turned_mm, 4), "shifted_mm": round(shifted_mm, 4)},
        )
    differs = max(turned_mm, shifted_mm) > _ROUNDING_MM
    return sform, ["nifti.sform", *(["nifti.forms_differ"] if differs else [])]


def _pixdim_codes(sform: NDArray[np.float64], steps: NDArray[np.float64] | None) -> list[str]:
    """Compare the sform's spacing with pixdim, the only witness besides it."""
    norms = np.linalg.norm(sform[:3, :3], axis=0)
    if steps is None or np.allclose(norms, steps, rtol=1e-4, atol=0):
        return []
    if np.allclose(norms, steps, rtol=0.01, atol=0):
        return ["nifti.pixdim_differs"]
    raise GeometryError(
        f"The sform and pixdim disagree about the spacing: {_times(norms)} or {_times(steps)} mm.",
        remedy='If the sform holds, pass repair=("sform",).',
        code="nifti.pixdim_disagrees",
    )


def _ct_rate_spacing(
    affine: NDArray[np.float64], scan: CtRateVolume, repair: tuple[str, ...]
) -> tuple[NDArray[np.float64], list[str]]:
    """Compare with CT-RATE's spacing (z, y, x); take it where that was asked for."""
    listed = np.array(scan.spacing_mm[::-1])
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(norms, listed, rtol=0.01, atol=0):
        return affine, []
    if "ct_rate_spacing" not in repair:
        raise GeometryError(
            "The file and CT-RATE's table disagree about the spacing: "
            f"{_times(norms)} or {_times(listed)} mm.",
            remedy='If the table holds, pass repair=("ct_rate_spacing",).',
            code="ct_rate.spacing",
        )
    scaled = affine.copy()
    scaled[:3, :3] *= listed / norms
    return scaled, ["repair.ct_rate_spacing"]


def _times(steps: NDArray[np.float64]) -> str:
    return " x ".join(f"{step:.4g}" for step in steps)


def _unproved(found: str, code: str) -> GeometryError:
    return GeometryError(
        f"The NIfTI file does not say where its voxels are: {found}.",
        remedy="Export it with a valid affine. If neither form is set and its axes run right, "
        'anterior and head, pass repair=("assume_affine",).',
        code=code,
    )
