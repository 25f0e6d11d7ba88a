"""Any axis order, direction and tilt ends in one order, and every voxel keeps its place."""

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.ct.nifti.open import open_nifti
from longllava_domains.ct.orientation import oblique_deg, to_radiological
from longllava_domains.errors import GeometryError

PHANTOM = chest_phantom(shape=(20, 44, 52), spacing_mm=(15.0, 9.0, 8.0))
ORIENTATIONS = list(product(permutations(range(3)), product((False, True), repeat=3)))


def stored_as(
    order: tuple[int, ...], flips: tuple[bool, ...], turn: NDArray[np.float64]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The phantom as another scanner might have stored it, and its affine."""
    values = PHANTOM.hu.transpose(order)
    affine = turn @ PHANTOM.affine_ras_mm
    affine = affine[:, [*order, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            values = np.flip(values, axis)
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    return np.ascontiguousarray(values), affine


def turned(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turn = np.eye(4)
    turn[:3, :3] = x @ y @ z
    return turn


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_all_48_orientations_of_a_nifti_file_give_the_same_volume(
    order: tuple[int, ...], flips: tuple[bool, ...], tmp_path: Path
) -> None:
    values, affine = stored_as(order, flips, np.eye(4))
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "scan.nii")
    volume = open_nifti(tmp_path / "scan.nii")
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    np.testing.assert_allclose(volume.affine_ras_mm, PHANTOM.affine_ras_mm, atol=1e-4)
    assert volume.spacing_mm == pytest.approx(PHANTOM.spacing_mm)


@settings(deadline=None, max_examples=80)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    degrees=st.tuples(*[st.floats(-14, 14)] * 3),
    shift=st.tuples(*[st.floats(-500, 500)] * 3),
)
def test_oblique_volumes_keep_the_place_of_every_voxel(
    orientation: tuple[tuple[int, ...], tuple[bool, ...]],
    degrees: tuple[float, float, float],
    shift: tuple[float, float, float],
) -> None:
    turn = turned(degrees)
    turn[:3, 3] = shift
    values, affine = stored_as(*orientation, turn)
    volume = volume_from_array(values, affine)
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    np.testing.assert_allclose(volume.affine_ras_mm, turn @ PHANTOM.affine_ras_mm, atol=1e-9)
    assert volume.z_mm(0) > volume.z_mm(volume.shape[0] - 1)
    assert oblique_deg(volume.affine_ras_mm) <= 14 * 3


@settings(deadline=None, max_examples=60)
@given(degrees=st.tuples(*[st.floats(-180, 180)] * 3))
def test_nothing_is_lost_or_moved_at_any_angle(degrees: tuple[float, float, float]) -> None:
    index = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = turned(degrees) @ np.diag([2.0, 3.0, 5.0, 1.0])
    values, oriented = to_radiological(index, affine)
    assert sorted(values.ravel()) == list(range(24))
    for position in np.ndindex(values.shape):
        source = np.unravel_index(int(values[position]), index.shape)
        np.testing.assert_allclose(
            oriented @ [*position, 1], affine @ [*(int(i) for i in source), 1], atol=1e-9
        )


@settings(deadline=None, max_examples=60)
@given(orientation=st.sampled_from(ORIENTATIONS), degrees=st.tuples(*[st.floats(-10, 10)] * 3))
def test_nibabel_agrees_which_axis_is_which(
    orientation: tuple[tuple[int, ...], tuple[bool, ...]], degrees: tuple[float, float, float]
) -> None:
    values, affine = stored_as(*orientation, turned(degrees))
    ours, _ = to_radiological(values, affine)
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine)).dataobj
    np.testing.assert_array_equal(ours, np.asarray(theirs).transpose(2, 1, 0)[::-1, ::-1, ::-1])


def test_simpleitk_puts_voxels_at_the_same_places(tmp_path: Path) -> None:
    values, affine = stored_as((1, 2, 0), (True, False, True), turned((7.0, -5.0, 11.0)))
    image = nibabel.Nifti1Image(values, affine)
    image.set_qform(affine, code=1)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = open_nifti(tmp_path / "scan.nii.gz")
    theirs = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    for index in [(0, 0, 0), (3, 40, 7), (19, 43, 51), (10, 0, 30)]:
        ras = volume.affine_ras_mm @ [*index, 1]
        i, j, k = theirs.TransformPhysicalPointToIndex((-ras[0], -ras[1], ras[2]))  # LPS
        assert theirs.GetPixel(i, j, k) == volume.hu[index]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda a: a[0].__setitem__(1, 0.2), "geometry.sheared"),
        (lambda a: a.__setitem__((0, 0), np.nan), "geometry.affine"),
        (lambda a: a.__setitem__((slice(None), 0), 0), "geometry.spacing"),
        (lambda a: a.__imul__(1000), "geometry.spacing"),
    ],
)
def test_an_affine_that_is_no_grid_is_refused(change: object, code: str) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    change(affine)  # type: ignore[operator]
    with pytest.raises(GeometryError) as caught:
        volume_from_array(PHANTOM.hu, affine)
    assert caught.value.code == code
