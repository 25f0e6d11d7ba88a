"""Scales are chosen by evidence, applied once, and the arithmetic is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.hounsfield.ct_rate import CtRateVolume
from longllava_domains.ct.hounsfield.rescale import HuRule, Scale, to_hounsfield, to_int16
from longllava_domains.errors import IntensityError, PolicyError

HU = chest_phantom(shape=(10, 64, 64), spacing_mm=(30.0, 6.0, 6.0)).hu
PLAIN = Scale()


def parse(intercept: float) -> CtRateVolume:
    return CtRateVolume(1.0, intercept, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_ct_rate_v1_and_v2_come_out_the_same(intercept: int) -> None:
    stored = (HU.astype(int) - intercept).astype(np.int16)
    first = to_hounsfield(stored, PLAIN, parse(intercept))
    second = to_hounsfield(HU, PLAIN, parse(intercept))
    np.testing.assert_array_equal(first.hu, HU)
    np.testing.assert_array_equal(second.hu, HU)
    assert first.codes == {"hu.ct_rate_v1": 1, "hu.rescaled": 1}
    assert second.codes == {"hu.ct_rate_v2": 1}
    assert first.numbers["intercept"] == intercept


def test_a_slope_with_the_wrong_sign_is_reported_even_where_air_and_tissue_change_places() -> None:
    inverted = to_hounsfield(HU, Scale(-1.0, -950.0), "prove")
    assert inverted.codes["hu.negative_slope"] == 1
    sound = to_hounsfield((-HU.astype(int)).astype(np.int16), Scale(-1.0, 0.0), "prove")
    np.testing.assert_array_equal(sound.hu, HU)
    assert sound.codes["hu.negative_slope"] == 1


def test_ct_rate_values_that_fit_neither_release_are_refused() -> None:
    with pytest.raises(IntensityError) as caught:
        to_hounsfield((HU.astype(int) + 4000).astype(np.int16), PLAIN, parse(-1024))
    assert caught.value.code == "hu.unproved"


def test_a_given_scale_replaces_the_headers() -> None:
    stored = (HU.astype(int) + 1024).astype(np.uint16)
    done = to_hounsfield(stored, Scale(3.0, 7.0), (1.0, -1024.0))
    np.testing.assert_array_equal(done.hu, HU)
    assert "hu.given" in done.codes


def test_a_given_scale_is_never_applied_to_hounsfield_units() -> None:
    with pytest.raises(IntensityError) as caught:
        to_hounsfield(HU, PLAIN, (1.0, -1024.0))
    assert caught.value.code == "hu.twice"


def test_a_given_scale_that_proves_nothing_is_followed_and_reported() -> None:
    stored = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    done = to_hounsfield(stored, PLAIN, (2.0, 5.0))
    np.testing.assert_array_equal(done.hu, stored * 2 + 5)
    assert "hu.given_unproved" in done.codes


def test_unproved_values_need_trust() -> None:
    stored = (HU.astype(int) + 1024).astype(np.int16)
    with pytest.raises(IntensityError):
        to_hounsfield(stored, PLAIN, "prove")
    done = to_hounsfield(stored, PLAIN, "trust")
    np.testing.assert_array_equal(done.hu, stored)
    assert "hu.trusted" in done.codes


def test_a_crop_without_air_is_refused_unless_someone_vouches() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.choice([-95, 50, 300], (20, 50, 50), p=[0.2, 0.77, 0.03])
    crop = (kinds + rng.normal(0, 10, kinds.shape)).astype(np.int16)
    with pytest.raises(IntensityError) as caught:
        to_hounsfield(crop, PLAIN, "prove")
    assert caught.value.code == "hu.no_air_in_view"
    for rule, code in (("trust", "hu.trusted"), (parse(-1024), "hu.ct_rate_v2")):
        done = to_hounsfield(crop, PLAIN, rule)  # type: ignore[arg-type]
        assert done.codes == {code: 1, "hu.no_air_in_view": 1}
        np.testing.assert_array_equal(done.hu, crop)


@pytest.mark.parametrize("writeable", [True, False])
def test_padding_becomes_air_and_is_counted(writeable: bool) -> None:
    padded = HU.copy()
    padded[:, :2] = -3024
    padded.flags.writeable = writeable
    done = to_hounsfield(padded, PLAIN, "prove")
    assert done.codes["padding.to_air"] == 10 * 2 * 64
    assert done.numbers["padding_hu"] == -3024
    assert (done.hu[:, :2] == -1024).all()
    np.testing.assert_array_equal(done.hu[:, 2:], HU[:, 2:])


@settings(deadline=None, max_examples=150)
@given(
    stored=hnp.arrays(
        st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", ">i2", ">f4"]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements={"min_value": 0, "max_value": 100},
    ),
    slope=st.sampled_from([1.0, 2.0, 0.5, -3.0, 1.37]),
    intercept=st.sampled_from([0.0, -1024.0, 0.25, 31.9]),
    fortran=st.booleans(),
)
def test_scaling_is_exact(
    stored: NDArray[np.float64], slope: float, intercept: float, fortran: bool
) -> None:
    stored = np.asfortranarray(stored) if fortran else stored
    hu, rounding = to_int16(stored, Scale(slope, intercept))
    exact = stored.astype(np.float64) * slope + intercept
    assert hu.dtype == np.int16
    assert hu.shape == stored.shape
    np.testing.assert_array_equal(hu, np.rint(exact))
    assert rounding == np.abs(np.rint(exact) - exact).max()


@pytest.mark.parametrize("values", [[40000.0], [-40000.0], [np.nan], [np.inf], [32767.6]])
def test_values_that_do_not_fit_are_refused(values: list[float]) -> None:
    with pytest.raises(IntensityError):
        to_int16(np.array(values), PLAIN)


@pytest.mark.parametrize("dtype", ["u2", "i4", "u4", "i8", "u8"])
def test_integers_that_do_not_fit_are_refused(dtype: str) -> None:
    with pytest.raises(IntensityError):
        to_int16(np.array([40000], dtype), PLAIN)


@pytest.mark.parametrize(
    "rule", ["guess", (0.0, -1024.0), (np.nan, 0.0), (1.0,), [1.0, 0.0], 3, ("a", "b")]
)
def test_what_is_no_rule_is_refused(rule: HuRule) -> None:
    with pytest.raises(PolicyError):
        to_hounsfield(HU, PLAIN, rule)
