"""Doors that scans come through: DICOM in every transfer syntax, zip, DICOMDIR, NIfTI."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dicom_builder
import imagecodecs
import nifti_builder
import numpy as np
from hostile_door import Door
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct

JPEG = "1.2.840.10008.1.2.4."
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big_endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_lossless": JPEG + "70",
    "jpeg_ls": JPEG + "80",
    "jpeg2000": JPEG + "90",
    "htj2k": JPEG + "201",
}
CODE_STREAMS = {
    "rle": "1.2.840.10008.1.2.5",
    "jpeg_baseline": JPEG + "50",
    "jpeg_extended": JPEG + "51",
    "jpeg_lossless_any": JPEG + "57",
    "jpeg_lossless": JPEG + "70",
    "jpeg_ls": JPEG + "80",
    "jpeg_ls_near": JPEG + "81",
    "jpeg2000": JPEG + "90",
    "jpeg2000_lossy": JPEG + "91",
    "htj2k": JPEG + "201",
    "htj2k_rpcl": JPEG + "202",
    "htj2k_lossy": JPEG + "203",
}
# What decoders leave where they wrote nothing: 0, the middle of the range, in JPEG 2000 of 16 bits.
_UNWRITTEN = {
    "jpeg_baseline": 128,
    "jpeg_extended": 2048,
    "jpeg2000": 32768,
    "jpeg2000_lossy": 32768,
}


def series(name: str) -> Callable[[Path], Door]:
    """A series of which one slice is damaged."""

    def make(folder: Path) -> Door:
        hu = dicom_builder.phantom((4, 40, 48))
        dicom_builder.write_series(folder / "series", hu=hu, syntax=SYNTAXES[name])
        target = sorted((folder / "series").iterdir())[1]
        return Door(target.read_bytes(), target, lambda: ct.open_volume(folder / "series").hu)

    return make


def frame(name: str) -> Callable[[Path], Door]:
    """One compressed frame, decoded alone; wrong pixels are those that decode as valid data."""

    def make(folder: Path) -> Door:
        from longllava_domains.formats.decoding.frames import decode_frame

        rows, columns = np.mgrid[:48, :64]
        image = (1000 + rows * 7 + columns * 3 + (rows * columns) % 61).astype(np.uint16)
        syntax = CODE_STREAMS[name]
        if name == "jpeg_baseline":
            data = imagecodecs.jpeg8_encode((image >> 4).astype(np.uint8), level=98)
        else:
            bits = 12 if name == "jpeg_extended" else 16
            data = dicom_builder.encode(image, syntax, bits)
        target = folder / "frame"
        sound = decode_frame(data, syntax, *image.shape)[0]

        def enter() -> Any:
            return decode_frame(target.read_bytes(), syntax, *image.shape)[0]

        def judge(found: NDArray[np.uint16]) -> str:
            if np.array_equal(found, sound):
                return "same"
            if (found[-8:] == _UNWRITTEN.get(name, 0)).all():
                return "zero-filled"
            given = target.read_bytes()
            body = given.removesuffix(data[-2:])
            return "cut" if len(body) < len(data) - 2 and data.startswith(body) else "undetectable"

        return Door(data, target, enter, judge)

    return make


def zipped(folder: Path) -> Door:
    dicom_builder.write_series(folder / "series", hu=dicom_builder.phantom((4, 40, 48)))
    target = folder / "a.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / "series").iterdir()):
            archive.write(path, path.name)
    return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)


def dicomdir(folder: Path) -> Door:
    hu = dicom_builder.phantom((4, 40, 48))
    dicom_builder.write_series(folder / "series", hu=hu, syntax=SYNTAXES["rle"])
    directory = dicom_builder.datasets()[0]
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(directory, keyword)
    record = Dataset()
    record.ReferencedFileID = ["..", "..", "etc", "passwd"]
    directory.DirectoryRecordSequence = Sequence([record] * 3)
    target = dicom_builder.save(directory, folder / "series" / "DICOMDIR")
    return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)


def nifti(name: str) -> Callable[[Path], Door]:
    """A volume, compressed or not: behind a checksum headers are hardly reached."""

    def make(folder: Path) -> Door:
        target = nifti_builder.save(folder, nifti_builder.image(), name)
        return Door(target.read_bytes(), target, lambda: ct.open_volume(target).hu)

    return make


SCANS: dict[str, Callable[[Path], Door]] = {
    **{f"series {name}": series(name) for name in SYNTAXES},
    **{f"frame {name}": frame(name) for name in CODE_STREAMS},
    "zip": zipped,
    "dicomdir": dicomdir,
    "nifti gz": nifti("scan.nii.gz"),
    "nifti": nifti("scan.nii"),
}
