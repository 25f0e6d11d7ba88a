"""One frame at a time: every codec, its second path, and codestreams that lie."""

import faulthandler
from typing import Any, Never

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from longllava_domains.errors import DamagedInputError, InputError, UnsupportedInputError
from longllava_domains.formats.dicom.codecs import RLE, decode_frame
from longllava_domains.formats.dicom.codestream import parse_codestream

JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = (RLE, *(JPEG + end for end in ("57", "70", "80", "90", "201")))


@pytest.fixture(autouse=True)
def no_hang() -> Any:
    """A decoder that hangs ends the run with a trace."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint16, st.tuples(st.integers(2, 20), st.integers(2, 20)), elements=st.integers(0, 65535)),
    st.sampled_from(LOSSLESS),
)  # fmt: skip
def test_any_sixteen_bit_image_survives_every_lossless_syntax(dicom, image, syntax) -> None:
    decoded, precision = decode_frame(dicom.encode(image, syntax), syntax, *image.shape)
    np.testing.assert_array_equal(decoded, image)
    assert precision in (0, 16)


@pytest.mark.parametrize("end", ["57", "80", "90", "201"])
def test_eight_bit_codestreams_are_widened(end, dicom) -> None:
    image = np.arange(192, dtype=np.uint8).reshape(12, 16)
    encoders = {
        "57": lambda: imagecodecs.jpeg8_encode(image, lossless=True),
        "80": lambda: imagecodecs.jpegls_encode(image),
        "90": lambda: imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True),
        "201": lambda: imagecodecs.htj2k_encode(image, reversible=True),
    }
    decoded, precision = decode_frame(encoders[end](), JPEG + end, 12, 16)
    np.testing.assert_array_equal(decoded, image)
    assert (decoded.dtype, precision) == (np.uint16, 8)


def test_a_codec_that_is_not_built_is_replaced_by_pydicoms(dicom, monkeypatch) -> None:
    pytest.importorskip("jpeg_ls", reason="pyjpegls comes with highdicom")

    def absent(*_args, **_options) -> Never:
        raise ImportError("not built")

    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    data = dicom.encode(image, JPEG + "80")
    monkeypatch.setattr(imagecodecs, "jpegls_decode", absent)
    decoded, _ = decode_frame(data, JPEG + "80", *image.shape)
    np.testing.assert_array_equal(decoded, image)
    monkeypatch.setattr(imagecodecs, "htj2k_decode", absent)
    with pytest.raises(UnsupportedInputError) as refused:
        decode_frame(dicom.encode(image, JPEG + "201"), JPEG + "201", *image.shape)
    assert refused.value.code == "ct.no_decoder"


@pytest.mark.parametrize("end", ["57", "80", "90", "201"])
def test_a_size_that_would_fill_the_memory_is_refused_unread(end, dicom) -> None:
    data = bytearray(dicom.encode(np.zeros((8, 8), np.uint16), JPEG + end))
    if end in ("90", "201"):
        at = data.index(b"\xff\x51") + 6
        data[at : at + 8] = (2**31).to_bytes(4, "big") * 2
    else:
        at = next(i for i in range(len(data)) if data[i : i + 2] in (b"\xff\xc3", b"\xff\xf7")) + 5
        data[at : at + 4] = b"\xff\xff\xff\xff"
    for rows, columns in ((8, 8), (65535, 8)):
        with pytest.raises(DamagedInputError):
            decode_frame(bytes(data), JPEG + end, rows, columns)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("end", ["57", "70", "80", "90", "201"])
def test_no_prefix_of_a_codestream_hangs_or_passes(end, dicom) -> None:
    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    data = dicom.encode(image, JPEG + end)
    for length in range(0, len(data) - 40, max(1, len(data) // 60)):
        with pytest.raises(InputError):
            decode_frame(data[:length], JPEG + end, *image.shape)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_high_throughput_stream_that_breaks_off_inside_is_noticed(dicom) -> None:
    image = dicom.phantom()[0].view(np.uint16) & 0x0FFF
    data = bytearray(dicom.encode(image, JPEG + "201"))
    start = data.index(b"\xff\x93") + 2
    data[start : start + 60] = b"\xff" * 60
    with pytest.raises(InputError):
        decode_frame(bytes(data), JPEG + "201", *image.shape)


def test_colour_and_foreign_bytes_are_refused(dicom) -> None:
    colour = imagecodecs.jpeg8_encode(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UnsupportedInputError):
        decode_frame(colour, JPEG + "50", 8, 8)
    for data in (b"", b"\xff\xd8\xff\xd9", b"\x89PNG", b"\xff\xd8\xff\xc3"):
        assert parse_codestream(data) is None
        with pytest.raises(DamagedInputError):
            decode_frame(data, JPEG + "70", 8, 8)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51"]))
def test_the_codestream_parser_never_raises(noise, start) -> None:
    parse_codestream(start + noise)


@pytest.mark.parametrize("count", [0, 1, 3, 15])
def test_run_lengths_with_another_number_of_segments_are_refused(count, dicom) -> None:
    data = bytearray(dicom.encode(np.zeros((8, 8), np.uint16), RLE))
    data[:4] = count.to_bytes(4, "little")
    with pytest.raises(DamagedInputError):
        decode_frame(bytes(data), RLE, 8, 8)
