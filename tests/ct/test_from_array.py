"""An array with an affine becomes a volume, whatever its numbers are stored as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.from_array import volume_from_array
from longllava_domains.errors import IntensityError, UnsupportedInputError

PHANTOM = chest_phantom(shape=(10, 40, 40), spacing_mm=(30.0, 9.0, 9.0))


@pytest.mark.parametrize("dtype", ["i2", ">i2", "i4", "i8", "f4", "f8", ">f4"])
def test_every_real_type_gives_the_same_hounsfield_units(dtype: str) -> None:
    volume = volume_from_array(PHANTOM.hu.astype(dtype), PHANTOM.affine_ras_mm)
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert "hu.rounded" not in volume.report.codes


def test_fractions_are_rounded_and_reported() -> None:
    volume = volume_from_array(PHANTOM.hu + np.float32(0.25), PHANTOM.affine_ras_mm)
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)
    assert volume.report.codes["hu.rounded"] == 1
    assert volume.report.numbers["rounding_hu"] == 0.25


def test_a_channel_axis_is_dropped_and_other_shapes_are_refused() -> None:
    affine = PHANTOM.affine_ras_mm
    np.testing.assert_array_equal(volume_from_array(PHANTOM.hu[None], affine).hu, PHANTOM.hu)
    wrong = [PHANTOM.hu[0], np.stack([PHANTOM.hu] * 2), PHANTOM.hu > 0, PHANTOM.hu.astype(complex)]
    for array in wrong:
        with pytest.raises(UnsupportedInputError):
            volume_from_array(array, affine)


def test_the_volume_does_not_follow_later_changes_of_the_array() -> None:
    array = PHANTOM.hu.copy()
    volume = volume_from_array(array, PHANTOM.affine_ras_mm)
    array[:] = 0
    np.testing.assert_array_equal(volume.hu, PHANTOM.hu)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e9])
def test_a_single_impossible_voxel_is_refused(bad: float) -> None:
    array = PHANTOM.hu.astype(np.float32)
    array[3, 17, 23] = bad
    with pytest.raises(IntensityError):
        volume_from_array(array, PHANTOM.affine_ras_mm)


def test_the_hash_names_values_and_place() -> None:
    first = volume_from_array(PHANTOM.hu, PHANTOM.affine_ras_mm).source.content_sha256()
    again = volume_from_array(PHANTOM.hu.copy(), PHANTOM.affine_ras_mm).source.content_sha256()
    moved = PHANTOM.affine_ras_mm.copy()
    moved[2, 3] += 1
    assert first == again
    assert first != volume_from_array(PHANTOM.hu, moved).source.content_sha256()


def test_reading_slices_gives_those_slices_only() -> None:
    source = volume_from_array(PHANTOM.hu, PHANTOM.affine_ras_mm).source
    np.testing.assert_array_equal(source.read([7, 2]), PHANTOM.hu[[7, 2]])
    assert source.instances == ((),) * 10
    assert source.synthetic == (False,) * 10
    assert source.source_headers() is None


@settings(deadline=None, max_examples=80)
@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    thinned=st.booleans(),
    dtype=st.sampled_from(["i2", ">i2", "i4", "f4", "f8"]),
)
def test_strides_do_not_matter(
    order: list[int], flips: tuple[bool, ...], thinned: bool, dtype: str
) -> None:
    """The same voxels, however they lie in memory: permuted, reversed, or every other one."""
    shape = tuple(np.array(PHANTOM.hu.shape)[order] * (2 if thinned else 1))
    memory = np.zeros(shape, dtype)
    values = memory[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    values = (values[::2, ::2, ::2] if thinned else values).transpose(np.argsort(order))
    values[...] = PHANTOM.hu
    np.testing.assert_array_equal(volume_from_array(values, PHANTOM.affine_ras_mm).hu, PHANTOM.hu)
