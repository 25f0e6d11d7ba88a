"""A codestream that was cut and closed with its end marker is refused, in every syntax."""

import io

import dicom_builder
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from longllava_domains.errors import DamagedInputError, UnsupportedInputError
from longllava_domains.formats.decoding import frames
from longllava_domains.formats.dicom.codecs import decode_frame
from longllava_domains.formats.dicom.jpeg_end import add_probe, breaks_off
from longllava_domains.formats.dicom.tile_parts import leads_to_end

JPEG = "1.2.840.10008.1.2.4."
END = b"\xff\xd9"
SYNTAXES = tuple(JPEG + end for end in ("57", "70", "80", "90", "201"))


def noisy(dicom, seed: int = 0) -> np.ndarray:  # type: ignore[no-untyped-def]
    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    noise = np.random.default_rng(seed).integers(0, 50, image.shape)
    return ((image + noise) & 0x0FFF).astype(np.uint16)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_no_cut_is_accepted(dicom, syntax) -> None:  # type: ignore[no-untyped-def]
    image = noisy(dicom)
    data = dicom.encode(image, syntax)
    body = data[: data.rindex(END)]
    # CharLS takes zeros for the last byte of JPEG-LS: that much of it, one pixel, can be cut.
    last = len(body) - 1 if syntax.endswith("80") else len(body)
    for at in [*range(len(body) // 4, last, max(1, len(body) // 40)), *range(last - 8, last)]:
        with pytest.raises(DamagedInputError):
            decode_frame(body[:at] + END, syntax, *image.shape)
    np.testing.assert_array_equal(decode_frame(data, syntax, *image.shape)[0], image)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_no_hole_that_shortens_the_data_is_accepted_as_whole(dicom, syntax) -> None:  # type: ignore[no-untyped-def]
    image = noisy(dicom)
    data = dicom.encode(image, syntax)
    for at in np.linspace(len(data) // 3, len(data) - 40, 12).astype(int):
        with pytest.raises(DamagedInputError):
            decode_frame(data[:at] + data[at + 30 :], syntax, *image.shape)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.integers(12, 60),
    st.sampled_from((8, 12, 16)),
    st.integers(1, 7),
    st.integers(1, 60),
)
def test_whole_lossless_jpegs_are_proved_whole_and_cut_ones_are_not(
    seed: int, rows: int, columns: int, bits: int, predictor: int, cut: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, (rows, columns))
    image = values.astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.jpeg8_encode(image, lossless=True, predictor=predictor, bitspersample=bits)
    probe = add_probe(data)
    assert probe is not None
    decoded = imagecodecs.jpeg8_decode(probe.data)
    np.testing.assert_array_equal(decoded[:-1], image)
    assert probe.found_in(decoded)
    start = data.index(b"\xff\xda") + 10
    cut_data = data[: max(start, len(data) - 2 - cut)] + END
    shorter = add_probe(cut_data)
    assert shorter is not None
    assert not shorter.found_in(imagecodecs.jpeg8_decode(shorter.data))


def test_fill_bytes_before_the_end_marker_change_nothing(dicom) -> None:  # type: ignore[no-untyped-def]
    image = noisy(dicom)
    data = dicom.encode(image, JPEG + "70")
    filled = data[:-2] + b"\xff\xff\xff" + END
    np.testing.assert_array_equal(decode_frame(filled, JPEG + "70", *image.shape)[0], image)


@pytest.mark.parametrize("value", [0, 1000, 4095])
def test_a_constant_image_needs_no_probe(value: int) -> None:
    image = np.full((20, 30), value, np.uint16)
    data = imagecodecs.jpeg8_encode(image, lossless=True, bitspersample=12)
    np.testing.assert_array_equal(decode_frame(data, JPEG + "70", 20, 30)[0], image)


def test_a_lossy_jpeg_that_is_cut_is_refused() -> None:
    rows, columns = np.mgrid[:64, :64]
    image = ((rows * 31 + columns * 17) % 256).astype(np.uint8)
    data = imagecodecs.jpeg8_encode(image, level=90)
    decode_frame(data, JPEG + "50", 64, 64)
    with pytest.raises(DamagedInputError):
        decode_frame(data[: len(data) // 2] + END, JPEG + "50", 64, 64)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_exception(data: bytes) -> None:
    assert leads_to_end(b"\xff\x4f" + data) in (True, False)
    add_probe(b"\xff\xd8" + data + END)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_header_is_judged_without_an_exception(data: st.DataObject) -> None:
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    stream = bytearray(imagecodecs.jpeg8_encode(image, lossless=True, bitspersample=16))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(2, 120))] = data.draw(st.integers(0, 255))
    add_probe(bytes(stream))


GREY_ENDS = {
    "1.2.840.10008.1.2.4.50": (8, 128),
    "1.2.840.10008.1.2.4.51": (12, 2048),
    "1.2.840.10008.1.2.4.90": (16, 32768),
    "1.2.840.10008.1.2.4.201": (16, 32768),
}


def encoded(image: np.ndarray, syntax: str, bits: int) -> bytes:
    if bits == 8:
        return bytes(imagecodecs.jpeg8_encode(image.astype(np.uint8), level=98))
    return dicom_builder.encode(image, syntax, bits)


@pytest.mark.parametrize("syntax", GREY_ENDS)
@pytest.mark.parametrize("whole", [True, False])
def test_an_image_that_really_ends_in_middle_grey_is_read(syntax: str, whole: bool) -> None:
    """Decoders leave this value where they give up."""
    bits, grey = GREY_ENDS[syntax]
    rows, columns = np.mgrid[:64, :48]
    image = np.where((rows >= 40) | whole, grey, (rows * 3 + columns * 2) % 200).astype(np.uint16)
    pixels, _ = decode_frame(encoded(image, syntax, bits), syntax, 64, 48)
    assert (pixels[56:] == grey).all()


@pytest.mark.parametrize("syntax", list(GREY_ENDS)[:3])
def test_a_decoder_that_gives_up_inside_is_noticed(syntax: str) -> None:
    """Every byte of a sound frame is changed in turn: none gives an end that was never written."""
    bits, grey = GREY_ENDS[syntax]
    rows, columns = np.mgrid[:48, :64]
    image = (rows * 3 + columns * 2 + (rows * columns) % 17).astype(np.uint16)
    image &= (1 << bits) - 1
    data = encoded(image, syntax, bits)
    for place in range(2, len(data), 2):
        for value in (0, 255, data[place] ^ 16):
            given = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                pixels, _ = frames.decode_frame(given, syntax, 48, 64)  # it may crash
            except (DamagedInputError, UnsupportedInputError):
                continue
            assert not (pixels[-8:] == grey).all(), place


@pytest.mark.parametrize("marker", [0xC4, 0xD3, 0xDA, 0xE9])
@pytest.mark.parametrize("syntax", [JPEG + "51", JPEG + "57", JPEG + "70"])
def test_a_marker_inside_the_scan_is_damage(syntax: str, marker: int) -> None:
    """Family: decoders stop at it and fill up the rest; near the end no other byte gives that away."""
    rows, columns = np.mgrid[:48, :64]
    image = (1000 + rows * 7 + columns * 3 + (rows * columns) % 61).astype(np.uint16)
    data = encoded(image, syntax, 12)
    assert not breaks_off(data)
    for place in (len(data) - 8, len(data) - 40, len(data) * 3 // 4):
        given = data[:place] + bytes([0xFF, marker]) + data[place + 2 :]
        assert breaks_off(given)
        with pytest.raises(DamagedInputError):
            decode_frame(given, syntax, 48, 64)


def test_restart_markers_that_the_header_announces_are_no_damage() -> None:
    image = Image.fromarray((np.mgrid[:64, :64].sum(axis=0) * 2 % 251).astype(np.uint8))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=95, restart_marker_blocks=2)
    data = written.getvalue()
    assert b"\xff\xd0" in data
    assert not breaks_off(data)
    pixels, _ = decode_frame(data, JPEG + "50", 64, 64)
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert not breaks_off(data + b"\xff\xd9\x00")  # an end told twice, and padding
