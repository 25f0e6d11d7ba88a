"""One body, stored in many ways: what a model is shown, and where it lies, is always the same.

Orientation, sign, rescale, order, syntax and container are changed at the source. The views and
places of the answer equal those of the plain series, or the input is refused.
"""

from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import dicom_builder
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_family import OtherModel
from pydicom.dataset import Dataset

from longllava_domains import ct, pipelines
from longllava_domains.errors import InputError
from longllava_domains.visual import SlicePlace, VisualSequence

POLICY = ct.SlicePolicy(windows=("lung", "mediastinum"))


def shown(path: Path) -> VisualSequence:
    """Return what `CTReport` showed its model."""
    return pipelines.CTReport(OtherModel())(path, policy=POLICY).sequence


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> VisualSequence:
    return shown(dicom_builder.write_series(tmp_path_factory.mktemp("plain")))


def assert_same(found: VisualSequence, expected: VisualSequence) -> None:
    assert len(found) == len(expected)
    for view, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(view.pixels, wanted.pixels)
        assert isinstance(view.place, SlicePlace)
        assert isinstance(wanted.place, SlicePlace)
        assert view.place.z_mm == pytest.approx(wanted.place.z_mm, abs=1e-3)
        assert (view.place.index, view.place.window) == (wanted.place.index, wanted.place.window)


def mirrored(image: Dataset, *, rows: bool, columns: bool) -> None:
    """Store a slice's rows or columns in reverse, and say so in its header."""
    stored = image.pixel_array
    orientation = np.array(image.ImageOrientationPatient, float)
    position = np.array(image.ImagePositionPatient, float)
    row_mm, column_mm = map(float, image.PixelSpacing)
    if rows:
        position += orientation[3:] * row_mm * (image.Rows - 1)
        orientation[3:] *= -1
        stored = stored[::-1]
    if columns:
        position += orientation[:3] * column_mm * (image.Columns - 1)
        orientation[:3] *= -1
        stored = stored[:, ::-1]
    image.ImageOrientationPatient = [f"{x:.6f}" for x in orientation]
    image.ImagePositionPatient = [f"{x:.6f}"[:16] for x in position]
    image.PixelData = np.ascontiguousarray(stored).tobytes()


@given(
    rows=st.booleans(),
    columns=st.booleans(),
    signed=st.booleans(),
    intercept=st.sampled_from([-1024, -1000]),
    instance_order=st.permutations(range(dicom_builder.SHAPE[0])),
)
@settings(deadline=None, max_examples=15)
def test_a_series_stored_otherwise_is_shown_alike(
    plain: VisualSequence,
    rows: bool,
    columns: bool,
    signed: bool,
    intercept: int,
    instance_order: list[int],
) -> None:
    bits = 16 if signed or intercept != -1024 else 12
    images = dicom_builder.datasets(signed=signed, intercept=intercept, bits=bits)
    for image, number in zip(images, instance_order, strict=True):
        mirrored(image, rows=rows, columns=columns)
        image.InstanceNumber = number + 1
    with TemporaryDirectory() as folder:
        try:
            found = shown(dicom_builder.write(images, Path(folder)))
        except InputError:
            if intercept == -1024:  # only another rescale may fail to be proved
                raise
            return
    assert_same(found, plain)


@pytest.mark.parametrize("syntax", ["implicit", "rle", "jpeg_lossless", "jpeg_ls", "jpeg2000"])
def test_every_lossless_syntax_is_shown_alike(
    plain: VisualSequence, syntax: str, tmp_path: Path
) -> None:
    series = dicom_builder.write_series(tmp_path, syntax=dicom_builder.LOSSLESS[syntax])
    assert_same(shown(series), plain)


@given(
    axes=st.sampled_from(list(permutations(range(3)))),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(deadline=None, max_examples=15)
def test_a_nifti_of_any_orientation_is_shown_alike(
    plain: VisualSequence, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    # From (slice, row, column) to RAS+ storage (x, y, z), then turned and mirrored at will.
    affine = dicom_builder.affine_ras_mm() @ np.eye(4)[:, [2, 1, 0, 3]]
    stored = nibabel.Nifti1Image(dicom_builder.phantom().transpose(2, 1, 0), affine)
    turns = np.array([[axis, -1 if flip else 1] for axis, flip in zip(axes, flips, strict=True)])
    turned = stored.as_reoriented(turns)
    turned.header.set_xyzt_units("mm")
    turned.set_sform(turned.affine, code=1)
    turned.set_qform(turned.affine, code=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        nibabel.save(turned, path)
        assert_same(shown(path), plain)
