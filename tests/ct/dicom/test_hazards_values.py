"""Hazards between stored pixels and Hounsfield units."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.errors import InputError, IntensityError, PolicyError


@pytest.mark.hazard("D", 3)
@pytest.mark.parametrize("slope", [None, 0, 2])
def test_rescale_missing_zero_or_lost_is_not_believed(slope, dicom, refused, tmp_path) -> None:
    def lose(image, _) -> None:
        if slope is None:
            del image.RescaleSlope, image.RescaleIntercept
        else:
            image.RescaleSlope = slope

    folder = dicom.write_series(tmp_path, edit=lose)
    codes = {None: "hu.unproved", 0: "hu.rescale_unreadable", 2: "hu.implausible"}
    code = codes[slope]
    refused(folder, IntensityError, code)
    given = ct.open_volume(folder, hu=(1, -1024))
    np.testing.assert_array_equal(given.hu, dicom.phantom())
    assert given.report.codes["hu.given"] == 8


@pytest.mark.hazard("D", 1)
def test_values_that_prove_themselves_need_no_rescale(dicom, assert_whole, tmp_path) -> None:
    def lose(image, _) -> None:
        del image.RescaleSlope, image.RescaleIntercept

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=lose, signed=True, intercept=0, bits=16)
    )
    assert_whole(volume)
    assert volume.report.codes["hu.proved_by_values"] == 8


@pytest.mark.hazard("D", 2)
def test_another_unit_and_lookup_tables_are_refused(dicom, refused, tmp_path) -> None:
    def density(image, _) -> None:
        image.RescaleType = "Z_EFF"

    refused(dicom.write_series(tmp_path / "a", edit=density), IntensityError, "hu.other_unit")

    def table(image, _) -> None:
        item = Dataset()
        item.LUTDescriptor, item.ModalityLUTType = [4, 0, 16], "US"
        item.add_new(0x00283006, "OW", b"\0" * 8)
        image.ModalityLUTSequence = Sequence([item])
        del image.RescaleSlope, image.RescaleIntercept

    refused(dicom.write_series(tmp_path / "b", edit=table), IntensityError, "hu.other_unit")


@pytest.mark.hazard("D", 1)
def test_an_unspecified_unit_is_believed_only_where_the_values_prove_it(
    dicom, assert_whole, refused, tmp_path
) -> None:
    def unspecified(image, _) -> None:
        image.RescaleType = "US"

    volume = ct.open_volume(dicom.write_series(tmp_path / "a", edit=unspecified))
    assert_whole(volume)
    assert volume.report.codes["hu.proved_by_values"] == 8

    def another_unit(image, index) -> None:
        unspecified(image, index)
        image.RescaleSlope, image.RescaleIntercept = 0.5, -200

    refused(dicom.write_series(tmp_path / "b", edit=another_unit), IntensityError, "hu.unproved")


@pytest.mark.hazard("D", 2)
@pytest.mark.parametrize("lost", [{3}, {4, 5, 6, 7}])
def test_slices_that_lost_their_rescale_are_not_proved_by_the_others(
    lost, dicom, refused, tmp_path
) -> None:
    def lose(image, index) -> None:
        if index in lost:
            image.RescaleIntercept = 0

    refused(dicom.write_series(tmp_path, edit=lose), IntensityError, "hu.unproved")


@pytest.mark.hazard("D", 1)
def test_a_rescale_that_one_slice_contradicts_is_refused(dicom, refused, tmp_path) -> None:
    def stretch(image, index) -> None:
        image.RescaleSlope = 2 if index == 3 else 1

    refused(dicom.write_series(tmp_path, edit=stretch), IntensityError, "hu.implausible")


@pytest.mark.parametrize("extended", [False, True])
def test_the_sign_itself_is_not_beyond_the_stored_bits(
    extended, dicom, assert_whole, tmp_path
) -> None:
    def upper_bits(image, _) -> None:
        stored = np.frombuffer(image.PixelData, "<i2")
        image.PixelData = (stored if extended else stored & 0x0FFF).astype("<i2").tobytes()

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=upper_bits, signed=True, intercept=-24)
    )
    assert_whole(volume)
    assert "pixel.bits_beyond_stored" not in volume.report.codes


@pytest.mark.hazard("D", 2)
@pytest.mark.parametrize(("signed", "intercept"), [(False, -1024), (True, 0)])
def test_values_that_reach_beyond_the_stored_bits_are_reported(
    signed, intercept, dicom, tmp_path
) -> None:
    def too_few(image, _) -> None:
        image.BitsStored, image.HighBit = 10, 9

    how = {"signed": signed, "intercept": intercept, "bits": 16}
    sound = ct.open_volume(dicom.write_series(tmp_path / "a", **how))
    assert "pixel.bits_beyond_stored" not in sound.report.codes
    cut = ct.open_volume(dicom.write_series(tmp_path / "b", edit=too_few, **how))
    assert cut.report.codes["pixel.bits_beyond_stored"] == 3


@pytest.mark.hazard("D", 1)
def test_a_real_world_mapping_is_reported_and_not_used(dicom, assert_whole, tmp_path) -> None:
    def map_values(image, _) -> None:
        item = Dataset()
        item.RealWorldValueSlope, item.RealWorldValueIntercept = 3.0, 7.0
        image.RealWorldValueMappingSequence = Sequence([item])

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=map_values))
    assert_whole(volume)
    assert volume.report.codes["hu.real_world_mapping_not_used"] == 8


@pytest.mark.hazard("D", 2)
@pytest.mark.parametrize("signed", [False, True])
def test_unused_bits_are_masked(signed, dicom, assert_whole, tmp_path) -> None:
    def soil(image, _) -> None:
        stored = np.frombuffer(image.PixelData, "<u2") & 0x0FFF
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (stored | 0xA000).astype("<u2").tobytes()

    how = {"signed": True, "intercept": 0, "bits": 16} if signed else {}
    volume = ct.open_volume(dicom.write_series(tmp_path, edit=soil, **how), hu="trust")
    assert_whole(volume)


@pytest.mark.hazard("D", 1)
def test_a_high_bit_above_the_stored_bits_is_honoured(dicom, assert_whole, tmp_path) -> None:
    def lift(image, _) -> None:
        stored = np.frombuffer(image.PixelData, "<u2").astype(int)
        image.BitsStored, image.HighBit = 12, 15
        image.PixelData = (stored << 4 | 0x7).astype("<u2").tobytes()

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=lift)))


@pytest.mark.hazard("D", 4)
@pytest.mark.parametrize(
    ("value", "limit", "signed"),
    [(-2000, None, True), (-1500, None, True), (63536, None, False), (-3000, -2000, True)],
)
def test_padding_becomes_air(value, limit, signed, dicom, phantom, tmp_path) -> None:
    """63536 is -2000 written as VR US, beside signed pixels or in bits beyond those stored."""
    hidden = value if limit is None else -2500
    how = {"signed": True, "intercept": 0, "bits": 16} if signed else {}

    def pad(image, _) -> None:
        vr = "SS" if signed else "US"
        image.add_new(0x00280120, vr, value)
        if limit is not None:
            image.add_new(0x00280121, vr, limit)
        stored = np.frombuffer(image.PixelData, "<i2" if signed else "<u2").copy()
        stored[:48] = hidden
        image.PixelData = stored.tobytes()

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=pad, **how), hu="trust")
    expected = phantom.copy()
    expected[:, 0, :] = -1024
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.report.codes["padding.declared"] == 8


@pytest.mark.hazard("D", 1)
def test_padding_us_beside_signed_pixels(dicom, phantom, tmp_path) -> None:
    def pad(image, _) -> None:
        image.add_new(0x00280120, "US", 63536)
        stored = np.frombuffer(image.PixelData, "<i2").copy()
        stored[:48] = -2000
        image.PixelData = stored.tobytes()

    volume = ct.open_volume(
        dicom.write_series(tmp_path, edit=pad, signed=True, intercept=0, bits=16), hu="trust"
    )
    assert set(volume.hu[:, 0, :].ravel()) == {-1024}
    np.testing.assert_array_equal(volume.hu[:, 1:], phantom[:, 1:])


@pytest.mark.hazard("D", 1)
def test_a_padding_value_that_is_tissue_is_not_padding(dicom, assert_whole, tmp_path) -> None:
    def pad(image, _) -> None:
        image.add_new(0x00280120, "US", 1064)

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=pad))
    assert_whole(volume)
    assert volume.report.codes["padding.inside_patient_range"] == 8


@pytest.mark.hazard("D", 1)
def test_monochrome1_is_not_inverted(dicom, assert_whole, tmp_path) -> None:
    def invert(image, _) -> None:
        image.PhotometricInterpretation = "MONOCHROME1"

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=invert))
    assert_whole(volume)
    assert volume.report.codes["pixel.monochrome1_not_inverted"] == 8


@pytest.mark.hazard("D", 1)
def test_a_negative_slope_is_reported(dicom, assert_whole, tmp_path) -> None:
    def turn(image, _) -> None:
        stored = -(np.frombuffer(image.PixelData, "<i2"))
        image.PixelData, image.RescaleSlope = stored.astype("<i2").tobytes(), -1

    folder = dicom.write_series(tmp_path, edit=turn, signed=True, intercept=0, bits=16)
    volume = ct.open_volume(folder)
    assert_whole(volume)
    assert volume.report.codes["hu.negative_slope"] == 8


@pytest.mark.hazard("D", 3)
def test_values_beyond_int16_are_refused_and_fractions_rounded(
    dicom, phantom, refused, tmp_path
) -> None:
    def steep(image, _) -> None:
        image.RescaleSlope = "40"

    refused(dicom.write_series(tmp_path / "a", edit=steep), IntensityError, "hu.range")

    def half(image, _) -> None:
        image.RescaleSlope, image.RescaleIntercept = "0.5", "-512"

    folder = dicom.write_series(tmp_path / "b", edit=half)
    refused(folder, IntensityError, "hu.implausible")
    volume = ct.open_volume(folder, hu="trust")
    np.testing.assert_array_equal(volume.hu, np.rint(phantom * 0.5).astype(np.int16))
    assert volume.report.codes["hu.rounded"] == 8

    wide = np.zeros((4, 8, 8), np.int16)
    wide[:] = np.linspace(-1024, 32767, 256).reshape(4, 8, 8)
    images = dicom.datasets(wide, bits=16)
    np.testing.assert_array_equal(ct.open_volume(dicom.write(images, tmp_path / "c")).hu, wide)


@pytest.mark.hazard("D", 3)
@pytest.mark.parametrize("kind", ["float", "eight", "rgb"])
def test_pixels_that_are_not_ct_are_refused(kind, dicom, tmp_path) -> None:
    def change(image, _) -> None:
        if kind == "float":
            pixels = np.frombuffer(image.PixelData, "<u2").astype("<f4").tobytes()
            del image.PixelData
            image.FloatPixelData, image.BitsAllocated = pixels, 32
        elif kind == "eight":
            image.PixelData = image.PixelData[::2]
            image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        else:
            image.SamplesPerPixel, image.PhotometricInterpretation = 3, "RGB"
            image.PlanarConfiguration = 0

    folder = dicom.write_series(tmp_path, edit=change)
    with pytest.raises(InputError) as caught:
        ct.open_volume(folder)
    assert caught.value.code in ("input.no_ct", "input.pages")


@pytest.mark.hazard("D", 2)
def test_overlays_do_not_touch_the_pixels(dicom, assert_whole, tmp_path) -> None:
    def overlay(image, _) -> None:
        stored = np.frombuffer(image.PixelData, "<u2") | 0x4000
        image.PixelData = stored.astype("<u2").tobytes()
        image.add_new(0x60000010, "US", 40)
        image.add_new(0x60000011, "US", 48)
        image.add_new(0x60000100, "US", 16)
        image.add_new(0x60000102, "US", 14)
        image.add_new(0x60003000, "OW", b"\xff" * 240)

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=overlay)))


@pytest.mark.hazard("D", 1)
def test_lossy_compression_is_reported(dicom, tmp_path) -> None:
    def lossy(image, _) -> None:
        image.LossyImageCompression = "01"

    volume = ct.open_volume(dicom.write_series(tmp_path, edit=lossy))
    assert volume.report.codes["pixel.lossy"] == 8


@pytest.mark.hazard("D", 3)
@pytest.mark.parametrize(
    ("intercept", "rescale_type", "offset"), [(-2048, "HU", -1024), (0, "HU", None), (0, "", None)]
)
def test_a_rescale_applied_twice_or_lost_is_not_believed(
    intercept, rescale_type, offset, dicom, refused, tmp_path
) -> None:
    def slip(image, _) -> None:
        image.RescaleIntercept, image.RescaleType = intercept, rescale_type

    folder = dicom.write_series(tmp_path, edit=slip)
    error = refused(folder, IntensityError, "hu.implausible" if offset else "hu.unproved")
    if offset:
        assert error.facts["offset_hu"] == offset
    np.testing.assert_array_equal(ct.open_volume(folder, hu=(1, -1024)).hu, dicom.phantom())


@pytest.mark.hazard("D", 1)
def test_a_second_rescale_by_hand_is_refused(dicom, refused, tmp_path) -> None:
    folder = dicom.write_series(tmp_path)
    refused(folder, IntensityError, "hu.twice", hu=(1, 0))
    refused(folder, IntensityError, "hu.twice", hu=(1.0, -2048.0))
    for nonsense in ((0, -1024), (float("nan"), 0)):
        with pytest.raises(PolicyError):
            ct.open_volume(folder, hu=nonsense)
