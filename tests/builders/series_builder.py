"""Write the series that hospitals have: sequential heads, split series, phases, copies.

Built from `dicom_builder`; every function returns data sets that a scanner could have written.
"""

from collections.abc import Iterable, Sequence

import dicom_builder as dicom
import numpy as np
from pydicom.dataset import Dataset


def sequential(
    steps_mm: Sequence[float],
    *,
    tilt_deg: float = 0.0,
    hu: np.ndarray | None = None,
    thickness_mm: float | None = None,
    series: str = "1",
) -> list[Dataset]:
    """Return slices at given distances along their normal, the table moving along the body.

    Args:
        steps_mm: From each slice to the next, foot to head.
        tilt_deg: Gantry tilt about the left-right axis.
        hu: (slices, rows, columns), head first; the phantom by default.
        thickness_mm: Slice thickness; the step to the next slice by default.
        series: Number of the series.
    """
    along = np.concatenate([[0.0], np.cumsum(steps_mm)])
    images = dicom.datasets(
        dicom.phantom((len(along), *dicom.SHAPE[1:])) if hu is None else hu, series=series
    )
    angle = np.radians(tilt_deg)
    columns = [0.0, float(np.cos(angle)), -float(np.sin(angle))]
    for index, image in enumerate(images):
        image.ImageOrientationPatient = [f"{x:.10f}"[:16] for x in (1.0, 0.0, 0.0, *columns)]
        z = along[index] / np.cos(angle)
        image.ImagePositionPatient = [-21.0, -30.5, f"{z:.6f}"]
        own = steps_mm[min(index, len(steps_mm) - 1)]
        image.SliceThickness = own if thickness_mm is None else thickness_mm
    return images


def split_head(
    *, tilt_deg: float = 18.5, first: int = 14, second: int = 14, join_mm: float = 1.08
) -> list[Dataset]:
    """Return a head as a scanner of two collimations writes it: 4 mm below, 7 mm above, one UID."""
    steps = [4.0] * (first - 1) + [join_mm] + [7.0] * (second - 1)
    images = sequential(steps, tilt_deg=tilt_deg)
    for index, image in enumerate(images):
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", *(["ADD"] if index < first else [])]
        image.SliceThickness = 4 if index < first else 7
        image.AcquisitionNumber = index + 1
        image.BodyPartExamined = "HEAD"
    return images


def change(images: list[Dataset], which: Iterable[int], **values: object) -> list[Dataset]:
    """Set attributes of some of the images, and return all."""
    for index in which:
        for keyword, value in values.items():
            setattr(images[index], keyword, value)
    return images


def renumber(images: list[Dataset], series: str) -> list[Dataset]:
    """Give images the UIDs of another series, and return them."""
    for index, image in enumerate(images):
        image.SeriesInstanceUID = f"{dicom.ROOT}.{series}"
        image.SOPInstanceUID = f"{dicom.ROOT}.{series}.{index + 1}"
        image.SeriesNumber = int(series.split(".")[0])
    return images
