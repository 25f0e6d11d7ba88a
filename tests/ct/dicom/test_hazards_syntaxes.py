"""Hazards of transfer syntaxes, fragments and value representations."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.errors import (
    DamagedInputError,
    GeometryError,
    IntensityError,
    UnsupportedInputError,
)


def decodable(dicom, folder, syntax, edit) -> Any:
    return dicom.write_series(folder, syntax=dicom.LOSSLESS[syntax], edit=edit)


def with_frame(change) -> Any:
    """Return an edit that changes the encoded frame of each image."""
    from pydicom.encaps import encapsulate, generate_frames

    def edit(image, _) -> None:
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        image.PixelData = encapsulate([change(bytes(frame))])

    return edit


def without_end(frame) -> Any:
    return frame[: frame.rindex(b"\xff\xd9")]


@pytest.mark.hazard("E", 3)
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_ls", "jpeg2000"])
def test_a_frame_in_several_fragments(syntax, table, dicom, assert_whole, tmp_path) -> None:
    from pydicom.encaps import encapsulate, generate_frames

    def split(image, _) -> None:
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        image.PixelData = encapsulate([frame], fragments_per_frame=3, has_bot=table)

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, syntax, split)))


@pytest.mark.hazard("E", 2)
def test_extended_and_wrong_offset_tables(dicom, assert_whole, tmp_path) -> None:
    from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

    def extended(image, index) -> None:
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        if index % 2:
            pixels, offsets, lengths = encapsulate_extended([frame])
            image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = offsets, lengths
        else:
            pixels = bytearray(encapsulate([frame], has_bot=True))
            pixels[8:12] = (77_777).to_bytes(4, "little")
        image.PixelData = bytes(pixels)

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg2000", extended)))


@pytest.mark.hazard("E", 2)
@pytest.mark.parametrize("frames", [0, 3])
def test_a_number_of_frames_that_is_wrong(frames, dicom, assert_whole, tmp_path) -> None:
    def count(image, _) -> None:
        image.NumberOfFrames = frames

    for syntax in ("explicit", "jpeg_ls"):
        folder = decodable(dicom, tmp_path / syntax, syntax, count)
        if frames == 0:
            assert_whole(ct.open_volume(folder))
        else:
            with pytest.raises((DamagedInputError, GeometryError)):
                _ = ct.open_volume(folder).hu


@pytest.mark.hazard("E", 2)
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_lossless_sv1"])
def test_a_missing_end_marker_is_fine_where_nothing_else_is_missing(
    syntax, dicom, assert_whole, tmp_path
) -> None:
    folder = decodable(dicom, tmp_path, syntax, with_frame(without_end))
    assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("E", 4)
@pytest.mark.parametrize("syntax", ["jpeg_lossless", "jpeg_ls", "jpeg2000", "htj2k"])
def test_a_codestream_cut_inside_a_whole_fragment_is_refused(
    syntax, dicom, refused, tmp_path
) -> None:
    folder = decodable(dicom, tmp_path, syntax, with_frame(lambda frame: frame[: len(frame) // 2]))
    refused(folder, DamagedInputError, "ct.damaged_pixels")


@pytest.mark.hazard("E", 1)
def test_jp2_boxes_around_a_codestream(dicom, phantom, assert_whole, tmp_path) -> None:
    import imagecodecs

    def boxed(image, index) -> None:
        stored = (phantom[7 - index].astype(int) + 1024).astype(np.uint16)
        dicom.set_pixels(image, [imagecodecs.jpeg2k_encode(stored, level=0, codecformat="jp2")])

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg2000", boxed)))


@pytest.mark.hazard("E", 1)
def test_a_sequence_delimiter_inside_the_frame(dicom, assert_whole, tmp_path) -> None:
    """Bytes that look like the delimiter inside a fragment do not end it."""

    def comment(frame) -> Any:
        payload = b"\xfe\xff\xdd\xe0\0\0\0\0"
        marker = b"\xff\xfe" + (len(payload) + 2).to_bytes(2, "big") + payload
        return frame[:2] + marker + frame[2:]

    folder = decodable(dicom, tmp_path, "jpeg_lossless", with_frame(comment))
    assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("E", 2)
@pytest.mark.parametrize("signed_stream", [False, True])
def test_the_header_decides_the_sign_not_the_codestream(
    signed_stream, dicom, phantom, assert_whole, tmp_path
) -> None:
    import imagecodecs

    def mismatch(image, index) -> None:
        stored = phantom[7 - index]
        pattern = stored if signed_stream else stored.view(np.uint16)
        image.PixelRepresentation, image.RescaleIntercept = 1, 0
        image.BitsStored, image.HighBit = 16, 15
        encoded = imagecodecs.jpeg2k_encode(pattern, level=0, codecformat="j2k", reversible=True)
        dicom.set_pixels(image, [encoded])

    folder = decodable(dicom, tmp_path, "jpeg2000", mismatch)
    assert_whole(ct.open_volume(folder, hu="trust"))


@pytest.mark.hazard("E", 1)
@pytest.mark.parametrize("dense_hu", [2500, 600])
def test_a_sign_that_only_some_of_the_bits_can_hold_is_not_guessed(
    dense_hu, dicom, phantom, refused, tmp_path
) -> None:
    phantom[:, 20:24, 20:24] = dense_hu  # above 1023 HU the upper of 12 bits is set

    def claim(image, _) -> None:
        image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 15, 1

    syntax = dicom.LOSSLESS["jpeg_lossless_sv1"]
    folder = dicom.write_series(tmp_path, hu=phantom, syntax=syntax, bits=12, edit=claim)
    if dense_hu == 2500:
        refused(folder, DamagedInputError, "ct.bits")
    else:
        np.testing.assert_array_equal(ct.open_volume(folder).hu, phantom)


@pytest.mark.hazard("E", 1)
def test_a_codestream_of_another_size_is_refused(dicom, refused, tmp_path) -> None:
    def shrink(image, _) -> None:
        image.Rows = 39

    refused(decodable(dicom, tmp_path, "jpeg2000", shrink), DamagedInputError, "ct.damaged_pixels")


@pytest.mark.hazard("E", 1)
def test_a_syntax_that_the_codestream_contradicts_still_decodes(
    dicom, assert_whole, tmp_path
) -> None:
    def relabel(image, _) -> None:
        image.file_meta.TransferSyntaxUID = dicom.LOSSLESS["jpeg_lossless_sv1"]

    assert_whole(ct.open_volume(decodable(dicom, tmp_path, "jpeg_ls", relabel)))


@pytest.mark.hazard("E", 2)
@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.4.110", b"1.2.840.10008.1.2.4.100"])
def test_jpeg_xl_and_video_are_refused(syntax, dicom, refused, tmp_path) -> None:
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["htj2k"])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.201", syntax))
    refused(folder, UnsupportedInputError, "ct.transfer_syntax")


@pytest.mark.hazard("E", 1)
def test_known_elements_under_vr_un_are_read(dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path)
    for path in folder.iterdir():
        data = path.read_bytes()
        for tag, vr in ((0x00280010, b"US"), (0x00200032, b"DS"), (0x00281052, b"DS")):
            spelled = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
            at = data.index(spelled + vr)
            length = int.from_bytes(data[at + 6 : at + 8], "little")
            unknown = spelled + b"UN\0\0" + length.to_bytes(4, "little")
            data = data[:at] + unknown + data[at + 8 :]
        path.write_bytes(data)
    assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("E", 2)
@pytest.mark.parametrize("how", ["commas", "decimals"])
def test_numbers_spelled_oddly_are_read(how, dicom, assert_whole, tmp_path) -> None:
    def spoil(image, index) -> None:
        if how == "commas":
            position = [float(x) for x in image.ImagePositionPatient]
            text = "\\".join(f"{x:.4f}".replace(".", ",") for x in position)
            image.add_new(0x00200032, "LO", text)
            image.add_new(0x00281053, "LO", "1,0")
        else:
            image.add_new(0x00200013, "LO", f"{index}.0")
            image.add_new(0x00200012, "LO", "1.00")

    assert_whole(ct.open_volume(dicom.write_series(tmp_path, edit=spoil)))


@pytest.mark.hazard("E", 2)
def test_unreadable_values_are_refused_where_they_are_needed(
    dicom, refused, assert_whole, tmp_path
) -> None:
    def word(keyword) -> Any:
        def spoil(image, _) -> None:
            image.add_new(keyword, "LO", "a\\b\\c")

        return spoil

    folder = dicom.write_series(tmp_path / "a", edit=word(0x00200032))
    error = refused(folder, GeometryError, "ct.no_position")
    assert error.facts["unreadable"] == 8
    folder = dicom.write_series(tmp_path / "b", edit=word(0x00281052))
    refused(folder, IntensityError, "hu.rescale_unreadable")
    volume = ct.open_volume(dicom.write_series(tmp_path / "c", edit=word(0x00200013)))
    assert_whole(volume)
    assert volume.report.codes["header.unreadable_value"] == 8


@pytest.mark.hazard("E", 2)
def test_implicit_data_under_an_explicit_label_and_back(dicom, assert_whole, tmp_path) -> None:
    for label, syntax in (("explicit", "implicit"), ("implicit", "explicit")):
        folder = dicom.write_series(tmp_path / label, syntax=dicom.LOSSLESS[syntax])
        for path in folder.iterdir():
            old = dicom.LOSSLESS[syntax].encode()
            new = dicom.LOSSLESS[label].encode()
            data = path.read_bytes()
            meta_end = 144 + int.from_bytes(data[140:144], "little")
            size = max(len(old), len(new)) + max(len(old), len(new)) % 2
            at = data.index(b"\x02\x00\x10\x00UI")
            length = int.from_bytes(data[at + 6 : at + 8], "little")
            value = new.ljust(size, b"\0")
            meta = data[:at] + b"\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value
            meta += data[at + 8 + length : meta_end]
            meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]
            path.write_bytes(meta + data[meta_end:])
        assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("E", 3)
def test_sequences_and_private_blocks_around_the_elements(dicom, assert_whole, tmp_path) -> None:
    def crowd(image, index) -> None:
        inner, outer = Dataset(), Dataset()
        inner.ImagePositionPatient, inner.Rows = [9, 9, 9], 7
        outer.ReferencedImageSequence = Sequence([inner, Dataset()])
        image.SourceImageSequence = Sequence([outer])
        image["SourceImageSequence"].is_undefined_length = bool(index % 2)
        outer.is_undefined_length_sequence_item = True
        image.add_new(0x00090010, "LO", "ODD VENDOR")
        image.add_new(0x00091001, "OB", b"\1" * 30_000)
        image.add_new(0x00190010, "LO", "ODD VENDOR")
        image.add_new(0x00191002, "UN", b"\xfe\xff\x00\xe0\0\0\0\0")

    for syntax in ("explicit", "implicit"):
        folder = dicom.write_series(tmp_path / syntax, edit=crowd, syntax=dicom.LOSSLESS[syntax])
        assert_whole(ct.open_volume(folder))
