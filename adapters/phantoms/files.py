"""Write a phantom as the files a scanner would write: a DICOM series, or NIfTI."""

from pathlib import Path
from typing import Any

import numpy as np

from longllava_domains.adapters.phantoms.chest import ChestPhantom
from longllava_domains.arguments import checked
from longllava_domains.errors import OutputError
from longllava_domains.files import require_writable

# Fixed, invented identifiers: writing the same phantom twice gives the same bytes.
_UID_ROOT = "1.2.826.0.1.3680043.10.1561.20"


@checked
def write_dicom_series(phantom: ChestPhantom, folder: str | Path) -> list[Path]:
    """Write one CT Image Storage file a slice, JPEG-LS lossless, and return their paths.

    Args:
        phantom: The volume; slice 0 is at the head. That of a labelled chest is ``chest.phantom``.
        folder: An empty or new folder.

    Raises:
        OutputError: The folder already holds files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise OutputError(
            "The folder for the phantom is not empty.", remedy="Name a new or empty folder."
        )
    paths = []
    for index in range(phantom.hu.shape[0]):
        path = folder / f"slice_{index:03d}.dcm"
        _ct_image(phantom, index).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _ct_image(phantom: ChestPhantom, index: int) -> Any:
    """Return one slice as a pydicom dataset (PS3.3 A.3.3 CT Image IOD)."""
    import imagecodecs
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, CTImageStorage, JPEGLSLossless

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = UID(f"{_UID_ROOT}.3.{index + 1}")
    image.file_meta.TransferSyntaxUID = JPEGLSLossless
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = f"{_UID_ROOT}.3.{index + 1}"
    _fill_patient_and_study(image)
    _fill_geometry(image, phantom, index)
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
    image.WindowCenter, image.WindowWidth = 50, 350
    stored = (phantom.hu[index].astype(np.int32) + 1024).astype(np.uint16)
    image.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(stored))])
    image["PixelData"].VR = "OB"
    return image


def _fill_patient_and_study(image) -> None:  # type: ignore[no-untyped-def]
    image.PatientName, image.PatientID = "Phantom^Chest", "PHANTOM"
    image.PatientBirthDate, image.PatientSex = "", "O"
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{_UID_ROOT}.1", f"{_UID_ROOT}.2"
    image.FrameOfReferenceUID = f"{_UID_ROOT}.4"
    image.StudyDate = image.SeriesDate = image.ContentDate = image.AcquisitionDate = "20260101"
    image.StudyTime = image.SeriesTime = image.ContentTime = image.AcquisitionTime = "120000"
    image.AccessionNumber, image.StudyID, image.ReferringPhysicianName = "", "1", ""
    image.Modality, image.Manufacturer, image.SeriesNumber = "CT", "longllava-domains", 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.BodyPartExamined, image.ConvolutionKernel, image.KVP = "CHEST", "STANDARD", 120
    image.AcquisitionNumber, image.PatientPosition = 1, "HFS"
    image.PositionReferenceIndicator, image.BurnedInAnnotation = "", "NO"


def _fill_geometry(image, phantom: ChestPhantom, index: int) -> None:  # type: ignore[no-untyped-def]
    ras = phantom.affine_ras_mm @ (index, 0, 0, 1)
    _, row_mm, column_mm = phantom.spacing_mm
    image.InstanceNumber = index + 1
    image.Rows, image.Columns = phantom.hu.shape[1:]
    # DICOM counts millimetres to the left, posterior and superior (LPS): x and y change sign.
    image.ImagePositionPatient = [float(-ras[0]), float(-ras[1]), float(ras[2])]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [row_mm, column_mm]
    image.SliceThickness = phantom.spacing_mm[0]


@checked
def write_nifti(phantom: ChestPhantom, path: str | Path) -> Path:
    """Write the phantom as NIfTI-1 in RAS+ order, int16 Hounsfield units, and return the path.

    Args:
        phantom: The volume; that of a labelled chest is ``chest.phantom``.
        path: Replaced where it is there; ends with .nii or .nii.gz.

    Raises:
        OutputError: Nothing can be written there.
    """
    require_writable(path, overwrite=True)
    import nibabel

    # (slice, row, column) counts feetwards, backwards and leftwards; RAS+ reverses all three.
    data = np.ascontiguousarray(phantom.hu[::-1, ::-1, ::-1].transpose(2, 1, 0))
    flipped = phantom.affine_ras_mm.copy()
    flipped[:3, 3] = (phantom.affine_ras_mm @ (*(np.array(phantom.hu.shape) - 1), 1))[:3]
    affine = np.eye(4)
    affine[:3, :3] = -flipped[:3, [2, 1, 0]]
    affine[:3, 3] = flipped[:3, 3]
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return Path(path)
