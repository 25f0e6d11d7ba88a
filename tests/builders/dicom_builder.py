"""Write real DICOM for tests: an asymmetric phantom, any plane, syntax and hazard.

`write_series` writes what a sound scanner would; its `edit` changes each data set before it is
written, and hazards are made that way.
"""

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders.native import _encode_segment
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

ROOT = "1.2.826.0.1.3680043.10.1561.99"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = {
    "implicit": IMPLICIT,
    "explicit": EXPLICIT,
    "big_endian": BIG_ENDIAN,
    "deflated": DEFLATED,
    "rle": RLE,
    "jpeg_lossless": JPEG + "57",
    "jpeg_lossless_sv1": JPEG + "70",
    "jpeg_ls": JPEG + "80",
    "jpeg2000": JPEG + "90",
    "htj2k": JPEG + "201",
    "htj2k_rpcl": JPEG + "202",
}
LOSSY = {
    "jpeg_extended": JPEG + "51",
    "jpeg_ls_near": JPEG + "81",
    "jpeg2000_lossy": JPEG + "91",
    "htj2k_lossy": JPEG + "203",
}
SPACING_MM = (2.5, 0.8, 0.7)
# LPS position of the first voxel: top of the head, front, patient's right.
ORIGIN_LPS_MM = np.array([-21.0, -30.5, 100.25])
SHAPE = (8, 40, 48)
# How the axes (slice, row, column) of the phantom run in LPS, and three ways to cut it:
# (image axis that rows follow, that columns follow, that slices follow).
_DIRECTIONS = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
_PLANES = {"axial": (1, 2, 0), "coronal": (0, 2, 1), "sagittal": (0, 1, 2)}

Edit = Callable[[Dataset, int], None]


def phantom(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Return int16 HU (slices, rows, columns) without any symmetry, air and tissue where they belong."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)
    hu[(x / 0.8) ** 2 + (y / 0.7) ** 2 < 1] = -90
    hu[(x / 0.7) ** 2 + (y / 0.6) ** 2 < 1] = 40
    hu[((x - 0.3) / 0.2) ** 2 + ((y + 0.1) / 0.3) ** 2 + (z / 0.9) ** 2 < 1] = -850
    hu[(np.abs(x) < 0.1) & (y > 0.35) & (y < 0.55)] = 600
    hu[(x < -0.35) & (x > -0.6) & (np.abs(y) < 0.3) & (z > 0)] = 110
    hu += 12 * z + 5 * y + 3 * x
    hu += np.random.default_rng(seed).normal(0, 8, shape)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def affine_ras_mm(
    spacing: tuple[float, float, float] = SPACING_MM, turn: np.ndarray | None = None
) -> np.ndarray:
    """Return the affine that a correct loader gives for the phantom."""
    turn = np.eye(3) if turn is None else turn
    affine = np.eye(4)
    affine[:3, :3] = turn @ (_DIRECTIONS * np.array(spacing)[:, None]).T
    affine[:3, 3] = turn @ ORIGIN_LPS_MM
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def turn_about_x(degrees: float) -> np.ndarray:
    """Return a rotation of LPS about the left-right axis."""
    a = np.radians(degrees)
    return np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])


def encode(stored: np.ndarray, syntax: str, bits: int = 16) -> bytes:
    """Encode one frame of 16-bit samples as its transfer syntax stores it."""
    if syntax in (IMPLICIT, EXPLICIT, DEFLATED):
        return stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    if syntax == BIG_ENDIAN:
        return stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    if syntax == RLE:
        return encode_rle(stored)
    unsigned = np.ascontiguousarray(stored).view(np.uint16)
    if bits < 16:
        unsigned = unsigned & ((1 << bits) - 1)
    kind = syntax.removeprefix(JPEG)
    if kind in ("57", "70"):
        predictor = 1 if kind == "70" else 4
        return imagecodecs.jpeg8_encode(
            unsigned, lossless=True, predictor=predictor, bitspersample=bits
        )
    if kind == "51":
        return imagecodecs.jpeg8_encode(unsigned, level=98, bitspersample=12)
    if kind in ("80", "81"):
        return imagecodecs.jpegls_encode(unsigned, level=0 if kind == "80" else 2)
    if kind in ("90", "91"):
        level = 0 if kind == "90" else 60
        return imagecodecs.jpeg2k_encode(
            stored, level=level, codecformat="j2k", reversible=kind == "90"
        )
    if kind == "203":
        return imagecodecs.htj2k_encode(stored, level=0.0005, reversible=False)
    return imagecodecs.htj2k_encode(stored, reversible=True)


def encode_rle(stored: np.ndarray) -> bytes:
    """Encode run-length, most significant bytes first (PS3.5 annex G)."""
    planes = stored.view(np.uint8).reshape(*stored.shape, 2)
    columns = stored.shape[1]
    segments = [
        bytes(_encode_segment(np.ascontiguousarray(planes[..., k]).tobytes(), columns))
        for k in (1, 0)
    ]
    starts = [64, 64 + len(segments[0])]
    return struct.pack("<16I", 2, *starts, *[0] * 13) + b"".join(segments)


def is_encapsulated(syntax: str) -> bool:
    """Return whether a transfer syntax puts frames into fragments."""
    return syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)


def slice_dataset(
    stored: np.ndarray,
    position_mm: Iterable[float],
    orientation: Iterable[float],
    pixel_spacing_mm: tuple[float, float],
    *,
    index: int = 0,
    series: str = "1",
    syntax: str = EXPLICIT,
    bits: int = 12,
) -> Dataset:
    """Return a sound CT Image Storage data set (PS3.3 A.3.3)."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = f"{ROOT}.{series}.{index + 1}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.0", f"{ROOT}.{series}"
    image.FrameOfReferenceUID = f"{ROOT}.0.1"
    image.Modality, image.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PatientName, image.PatientID, image.PatientBirthDate = "Phantom^A", "P1", "19700101"
    image.SeriesNumber, image.AcquisitionNumber, image.InstanceNumber = int(series[0]), 1, index + 1
    image.KVP, image.SliceThickness, image.ConvolutionKernel = 120, 3, "B30f"
    image.BodyPartExamined = "CHEST"
    image.ImagePositionPatient = [f"{x:.6f}"[:16] for x in position_mm]
    image.ImageOrientationPatient = [f"{x:.10f}"[:16] for x in orientation]
    image.PixelSpacing = list(pixel_spacing_mm)
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits, bits - 1
    image.PixelRepresentation = int(stored.dtype.kind == "i")
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
    image.WindowCenter, image.WindowWidth = 40, 400
    set_pixels(image, [encode(stored, syntax, bits)])
    return image


def set_pixels(image: Dataset, frames: list[bytes], **encapsulation: object) -> None:
    """Put encoded frames into a data set."""
    if is_encapsulated(image.file_meta.TransferSyntaxUID):
        image.PixelData = encapsulate(frames, **encapsulation)
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
    else:
        image.PixelData = b"".join(frames)
        image["PixelData"].VR = "OW"


def datasets(
    hu: np.ndarray | None = None,
    *,
    plane: str = "axial",
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    turn: np.ndarray | None = None,
    series: str = "1",
    syntax: str = EXPLICIT,
    bits: int = 12,
    signed: bool = False,
    intercept: int = -1024,
) -> list[Dataset]:
    """Return the slices of the phantom, cut along a plane, foot to head (or back to front)."""
    hu = phantom() if hu is None else hu
    turn = np.eye(3) if turn is None else turn
    along_rows, along_columns, along_slices = _PLANES[plane]
    spacing = np.array(spacing_mm)
    row_step, column_step = turn @ _DIRECTIONS[along_rows], turn @ _DIRECTIONS[along_columns]
    origin = turn @ ORIGIN_LPS_MM
    images = []
    stack = hu.transpose(along_slices, along_rows, along_columns)
    for index in reversed(range(stack.shape[0])):
        stored = stack[index].astype(np.int32) - intercept
        stored = np.ascontiguousarray(stored.astype(np.int16 if signed else np.uint16))
        position = origin + turn @ _DIRECTIONS[along_slices] * spacing[along_slices] * index
        image = slice_dataset(
            stored,
            position,
            [*column_step, *row_step],
            (float(spacing[along_rows]), float(spacing[along_columns])),
            index=stack.shape[0] - 1 - index,
            series=series,
            syntax=syntax,
            bits=bits,
        )
        image.RescaleIntercept = intercept
        images.append(image)
    return images


def save(image: Dataset, path: Path) -> Path:
    """Write a data set as a DICOM file, unchecked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    implicit = image.file_meta.TransferSyntaxUID == IMPLICIT
    little = image.file_meta.TransferSyntaxUID != BIG_ENDIAN
    image.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return path


def write(images: Iterable[Dataset], folder: Path, prefix: str = "s") -> Path:
    """Write data sets in an order that says nothing (names shuffled), and return the folder."""
    images = list(images)
    order = np.random.default_rng(7).permutation(len(images))
    for name, image in zip(order, images, strict=True):
        save(image, folder / f"{prefix}{name:03d}")
    return folder


def write_series(folder: Path, *, edit: Edit | None = None, **how: object) -> Path:
    """Write the phantom as one series; `edit` may change each data set first."""
    images = datasets(**how)
    for index, image in enumerate(images):
        if edit is not None:
            edit(image, index)
    return write(images, folder)


def enhanced(images: list[Dataset], phases: int = 1) -> Dataset:
    """Return one Enhanced CT image whose frames are the slices (PS3.3 A.38).

    Geometry, rescale and frame type are in functional groups only, as the standard has it.
    """
    whole = Dataset()
    first = images[0]
    for element in first:
        if element.keyword not in _IN_GROUPS and element.keyword != "PixelData":
            whole.add(element)
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = first.file_meta.TransferSyntaxUID
    whole.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID = f"{ROOT}.9.1"
    whole.NumberOfFrames = len(images)
    shared = Dataset()
    orientation, measures, kernel = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    kernel.ConvolutionKernel = first.ConvolutionKernel
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.CTReconstructionSequence = Sequence([kernel])
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    each = len(images) // phases
    whole.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame_groups(image, index // each + 1) for index, image in enumerate(images)]
    )
    frames = [_encoded(image) for image in images]
    set_pixels(
        whole,
        frames,
        **({"has_bot": False} if is_encapsulated(first.file_meta.TransferSyntaxUID) else {}),
    )
    return whole


_IN_GROUPS = {
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ConvolutionKernel", "WindowCenter",
    "WindowWidth",
}  # fmt: skip


def _frame_groups(image: Dataset, phase: int) -> Dataset:
    group, position, values, kind, content = (Dataset() for _ in range(5))
    position.ImagePositionPatient = image.ImagePositionPatient
    values.RescaleSlope, values.RescaleType = image.RescaleSlope, "HU"
    values.RescaleIntercept = image.RescaleIntercept
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    content.TemporalPositionIndex = phase
    group.PlanePositionSequence = Sequence([position])
    group.PixelValueTransformationSequence = Sequence([values])
    group.CTImageFrameTypeSequence = Sequence([kind])
    group.FrameContentSequence = Sequence([content])
    return group


def _encoded(image: Dataset) -> bytes:
    if is_encapsulated(image.file_meta.TransferSyntaxUID):
        return next(generate_frames(image.PixelData, number_of_frames=1))
    return image.PixelData
