"""`open_volume` and `list_series`: from a path to a proved volume, whatever the path holds."""

from pathlib import Path
from typing import Final, get_args

from longllava_domains.arguments import checked
from longllava_domains.ct.body_part import parse_purpose
from longllava_domains.ct.dicom.series.selection import tabulate
from longllava_domains.ct.dicom.series.table import SeriesTable
from longllava_domains.ct.hounsfield.rescale import HuSource
from longllava_domains.ct.views.policy import ReconstructionKernel
from longllava_domains.ct.volume import CTVolume
from longllava_domains.errors import PolicyError, UnsupportedInputError

_NIFTI_NAMES: Final = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".hdr.gz")


@checked
def open_volume(
    path: str | Path,
    *,
    series: int | str | None = None,
    purpose: str | None = None,
    repair: tuple[str, ...] = (),
    hu: HuSource = "prove",
) -> CTVolume:
    """Open a CT volume: a folder tree, zip archive or file of DICOM, or a NIfTI file.

    The place of every slice and Hounsfield units are proved or the load is refused. Slices that
    lie on no even grid (a tilted gantry, two spacings, gaps) are shown with
    ``SlicePolicy(at="acquired")``; `CTVolume.hu` then needs a repair. Slices are decoded when
    they are first needed.

    Args:
        path: A folder (searched whole), a .zip, a multi-frame DICOM file, a DICOMDIR (stands for
            its folder), or a NIfTI file.
        series: For DICOM: a row number or key of `list_series`, a series instance UID, or
            ``"soft"`` or ``"sharp"`` for the kernel; by default the best series is chosen, and
            `report.codes` says why.
        purpose: For DICOM: what the series is for, and so which is preferred: a region such as
            ``"chest"``, a phase (``"native"`` or ``"contrast"``), or both in one text.
        repair: What may be repaired; nothing by default. DICOM: ``"tilt"`` (shear to a straight
            volume), ``"gaps"`` or ``"gaps:K"`` (interpolate up to K missing slices in a row),
            ``"duplicates"`` (drop pixel-identical copies), ``"single"`` (a lone slice). NIfTI: see
            `open_nifti`.
        hu: ``"prove"`` (by header, or by the values), ``"trust"``, or (slope, intercept) instead
            of the header's; for NIfTI also a scan of CT-RATE's metadata, or the whole table that
            `ct_rate.read_ct_rate_metadata` returns, where the file's name picks the scan.

    Returns:
        int16 Hounsfield units, head first, anterior first, patient right first.

    Raises:
        NotFoundError: Nothing is there, or no such series.
        UnsupportedInputError: No CT, or a format that is not read.
        DamagedInputError: Bytes are missing or contradict each other.
        GeometryError: Positions, spacing or orientation are not proved.
        IntensityError: Hounsfield units are not proved.
        AmbiguousInputError: Several series are equally good, or of several patients or studies.
        BurnedInError: Only pages that may show a name.
        PolicyError: An unknown repair, no tuple of repairs, an unknown rule or purpose, or a series of a NIfTI file.
    """
    place = Path(path)
    if _is_nifti(place):
        from longllava_domains.ct.nifti.open import open_nifti

        if series not in (None, "soft", "sharp"):
            raise PolicyError(
                "A NIfTI file holds one volume, so no series can be chosen in it.",
                remedy="Leave series=None.",
                code="series.nifti",
            )
        parse_purpose(purpose)
        return open_nifti(place, repair=repair, hu=hu)
    from longllava_domains.ct.dicom.open import open_dicom

    return open_dicom(place, series=series, purpose=purpose, repair=repair, hu=hu)


@checked
def list_series(
    path: str | Path, *, kernel: ReconstructionKernel | None = None, purpose: str | None = None
) -> SeriesTable:
    """List the CT series below a path, and which one `open_volume` would choose.

    Args:
        path: As for `open_volume`.
        kernel: ``"soft"`` or ``"sharp"``: mark what ``open_volume(path, series=kernel)`` would
            choose.
        purpose: As for `open_volume`.

    Returns:
        A tuple of `SeriesRow` that prints as a table; it holds no text of the headers.

    Raises:
        NotFoundError: Nothing is there.
        UnsupportedInputError: No file holds a CT slice, or it is a NIfTI file.
        BurnedInError: The only images are pages that may show a name.
        PolicyError: Another kernel than these two, or an unknown purpose.
    """
    from longllava_domains.ct.dicom.series.study import read_study

    if _is_nifti(Path(path)):
        raise UnsupportedInputError(
            "A NIfTI file holds one volume and no series.",
            remedy="Pass it to ct.open_volume.",
            code="series.nifti",
        )
    if kernel not in (None, *get_args(ReconstructionKernel)):
        raise PolicyError(
            "There is no such kind of reconstruction kernel.",
            remedy=f"Use one of {', '.join(get_args(ReconstructionKernel))}.",
            code="series.kernel",
        )
    return tabulate(read_study(path).series, kernel, parse_purpose(purpose))


def _is_nifti(place: Path) -> bool:
    """Recognise NIfTI by its name, or by its magic if the name says nothing."""
    if place.name.lower().endswith(_NIFTI_NAMES):
        return True
    try:
        if not place.is_file():  # a folder, nothing, or a pipe that would never end
            return False
        with place.open("rb") as stream:
            head = stream.read(352)
    except (OSError, ValueError):  # no right to read, or a null character: `find` says so
        return False
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")
