"""Families: good data that was refused. Each is read, and what was done is reported."""

import struct
from pathlib import Path

import numpy as np
import pytest
import series_builder as build

from longllava_domains import ct
from longllava_domains.errors import DamagedInputError, GeometryError, IntensityError

CASES = Path(__file__).parents[4] / "shared" / "cases" / "ct"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not present")


@pytest.mark.parametrize("syntax", ["explicit", "jpeg_ls"])
def test_identical_copies_are_dropped_and_counted(dicom, assert_whole, tmp_path, syntax) -> None:
    """Family: a file or a whole series twice, in another folder or another transfer syntax."""
    dicom.write(dicom.datasets(), tmp_path / "a")
    dicom.write(dicom.datasets(syntax=dicom.LOSSLESS[syntax])[:5], tmp_path / "b")
    volume = ct.open_volume(tmp_path)
    assert_whole(volume)
    assert volume.report.codes["file.copies"] == 5


def test_copies_that_hold_other_pixels_are_refused(dicom, refused, tmp_path) -> None:
    """Family (the other side): one instance UID, two contents."""
    dicom.write(dicom.datasets(), tmp_path / "a")
    dicom.write(dicom.datasets(dicom.phantom(seed=3))[2:3], tmp_path / "b")
    refused(tmp_path, DamagedInputError, "ct.copies_differ")


@pytest.mark.parametrize(
    ("steps", "spacings"),
    [
        ([2.5] * 8 + [5.0] * 6, (2.5, 5.0)),
        ([2.5] * 8 + [7.5] * 6, (2.5, 7.5)),
        ([5.0] * 4 + [10.0] * 12, (5.0, 10.0)),
        ([3.0] * 6 + [8.0] * 5, (3.0, 8.0)),
        ([1.25] * 9 + [5.0] * 2, (1.25, 5.0)),
    ],
)
def test_several_spacings_are_named(dicom, refused, tmp_path, steps, spacings) -> None:
    """Family: 2.5 mm below and 5 or 7.5 mm above; nothing is missing."""
    folder = dicom.write(build.sequential(steps), tmp_path)
    for repair in ((), ("gaps:9",)):
        error = refused(folder, GeometryError, "ct.uneven_spacing", repair=repair)
        assert error.facts["spacings_mm"] == pytest.approx(spacings)
        assert "missing" not in str(error)
        assert "no even grid" not in str(error)


def test_many_gaps_are_counted_from_the_true_spacing(dicom, refused, tmp_path) -> None:
    """Family: a wrong base called it no multiple of one spacing."""
    steps = [5.0, 10.0, 5.0, 10.0, 10.0, 5.0, 10.0, 10.0, 10.0]
    error = refused(dicom.write(build.sequential(steps), tmp_path), GeometryError, "ct.gap")
    assert error.facts["missing"] == 6


@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_tilt_and_gaps_are_shown_as_acquired(dicom, tmp_path, tilt_deg) -> None:
    """Family: sequential heads; every slice that exists is shown, at its own place."""
    images = build.sequential([5.0] * 11, tilt_deg=tilt_deg)
    kept = [image for index, image in enumerate(images) if index not in (4, 8)]
    volume = ct.open_volume(dicom.write(kept, tmp_path))
    assert not volume.has_grid
    shown = volume.to_sequence(ct.SlicePolicy(at="acquired"))
    assert len(shown) == 10
    gaps = -np.diff([view.place.z_mm for view in shown])
    np.testing.assert_allclose(sorted(gaps), [5.0] * 7 + [10.0] * 2, atol=1e-3)
    assert volume.report.numbers["tilt_deg"] == pytest.approx(tilt_deg, abs=0.01)
    with pytest.raises(GeometryError):
        _ = volume.hu


@pytest.mark.parametrize("pad", [b"\xff", b"\0", b"\xff\xff\xff", b""])
def test_code_streams_padded_with_any_filler_decode(dicom, assert_whole, tmp_path, pad) -> None:
    """Family: a JPEG 2000 frame whose end is FFD9 FF (NEMA's own samples)."""
    images = dicom.datasets(syntax=dicom.LOSSLESS["jpeg2000"])
    for image in images:
        stored = np.ascontiguousarray(dicom.phantom()[7 - images.index(image)] + 1024)
        frame = dicom.encode(stored.astype(np.uint16), dicom.LOSSLESS["jpeg2000"]) + pad
        dicom.set_pixels(image, [frame])
    assert_whole(ct.open_volume(dicom.write(images, tmp_path)))


@pytest.mark.parametrize("fragments", [2, 3, 7])
def test_a_run_length_frame_may_be_in_several_fragments(
    dicom, assert_whole, tmp_path, fragments
) -> None:
    """Family: fragments of one frame, of single-frame and multi-frame RLE."""
    images = dicom.datasets(syntax=dicom.RLE)
    whole = dicom.enhanced(images)
    for image in (*images, whole):
        frames = list(
            dicom.generate_frames(image.PixelData, number_of_frames=image.get("NumberOfFrames", 1))
        )
        dicom.set_pixels(image, frames, fragments_per_frame=fragments, has_bot=False)
    assert_whole(ct.open_volume(dicom.write(images, tmp_path / "single")))
    assert_whole(ct.open_volume(dicom.save(whole, tmp_path / "multi.dcm")))


def test_deflated_enhanced_ct_opens(dicom, assert_whole, tmp_path) -> None:
    """Family: a multi-frame image in a deflated data set."""
    images = dicom.datasets(syntax=dicom.DEFLATED)
    assert_whole(ct.open_volume(dicom.save(dicom.enhanced(images), tmp_path / "e.dcm")))


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "jpeg_ls"])
@pytest.mark.parametrize("at", ["start", "inside"])
def test_file_meta_repeated_in_the_data_set_is_passed_over(
    dicom, assert_whole, tmp_path, syntax, at
) -> None:
    """Family: group 2 a second time, at the start of the data set or in the middle of it."""
    folder = dicom.write(dicom.datasets(syntax=dicom.LOSSLESS[syntax]), tmp_path)
    for path in folder.iterdir():
        data = path.read_bytes()
        end = 144 + struct.unpack("<I", data[140:144])[0]
        uid = dicom.EXPLICIT.encode() + b"\0"
        head = struct.pack("<HHL" if syntax == "implicit" else "<HH2sH", 2, 0x10,
                           *([len(uid)] if syntax == "implicit" else [b"UI", len(uid)]))  # fmt: skip
        place = end if at == "start" else data.index(struct.pack("<HH", 0x18, 0x15), end)
        path.write_bytes(data[:place] + head + uid + data[place:])
    assert_whole(ct.open_volume(folder))


@pytest.mark.parametrize("word", ["Hounsfield", "HOUNSFIELD UNITS", "UNSPECIFIED", "US", "MGML"])
def test_any_rescale_type_may_be_trusted(dicom, assert_whole, refused, tmp_path, word) -> None:
    """Family: other spellings of the unit, or of none; `hu="trust"` is the user's word."""
    folder = dicom.write(build.change(dicom.datasets(), range(8), RescaleType=word), tmp_path)
    assert_whole(ct.open_volume(folder, hu="trust"))
    if word == "MGML":
        refused(folder, IntensityError, "hu.other_unit")
        return
    assert_whole(ct.open_volume(folder))


def test_lossy_padding_becomes_air(dicom, tmp_path) -> None:
    """Family: a padding value that near-lossless compression moved by a little."""
    stored = dicom.phantom().astype(np.int16)
    stored[:, :4] = -2048 + np.random.default_rng(0).integers(-3, 4, stored[:, :4].shape)
    images = dicom.datasets(stored, signed=True, intercept=0, bits=16)
    for image in images:
        image.add_new(0x00280120, "SS", -2048)
        image.LossyImageCompression = "01"
    volume = ct.open_volume(dicom.write(images, tmp_path))
    assert (volume.hu[:, :4] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, 4:], dicom.phantom()[:, 4:])


@needs_cases
def test_the_real_samples_open() -> None:
    """The NEMA and D. Clunie samples that the first version refused."""
    open_one = {"repair": ("single",)}
    rle = ct.open_volume(CASES / "clunie_ct1_rle_fragments.dcm", **open_one)
    j2k = ct.open_volume(CASES / "nema_ct1_j2kr.dcm", **open_one)
    np.testing.assert_array_equal(rle.hu, j2k.hu)
    near = ct.open_volume(CASES / "nema_ct2_jlsn.dcm", **open_one)
    assert near.report.codes["hu.proved_by_values"] == 1
