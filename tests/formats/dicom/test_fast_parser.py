"""The fast header scan gives what pydicom gives, or leaves the file to pydicom."""

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_files

from longllava_domains.ct.dicom.elements import TAGS, WANTED
from longllava_domains.ct.dicom.header import NotAnImage, read_header
from longllava_domains.ct.dicom.series.multiframe import read_frames
from longllava_domains.ct.dicom.stored_values import _stored_values, check_storage, read_patterns
from longllava_domains.errors import InputError
from longllava_domains.formats.dicom.fast_parser import DEFLATED, parse
from longllava_domains.formats.dicom.find import find
from longllava_domains.formats.dicom.pydicom_parser import raw_bytes

PIXEL_DATA = 0x7FE00010


@pytest.fixture(scope="module")
def files() -> Any:
    """pydicom's own test files: 170 odd and broken ones, shipped in its wheel."""
    return [Path(name) for name in get_testdata_files() if Path(name).is_file()]


@pytest.fixture
def quiet_peer() -> Any:
    """pydicom warns about its own test files at length."""
    logger = logging.getLogger("pydicom")
    logger.disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.disabled = False


def assert_equals_pydicom(found, data) -> None:
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    little = dataset.original_encoding[1] is not False
    for tag in WANTED:
        ours = found.elements.get(tag)
        theirs = None
        if tag in dataset:
            theirs = raw_bytes(dataset.get_item(tag), little_endian=little)
        is_sequence = ours == b"\0" or theirs == b"\0"
        assert ours == theirs or (is_sequence and None not in (ours, theirs)), hex(tag)
    pixels = dataset.get_item(PIXEL_DATA)
    assert found.has_pixels == (pixels is not None)
    if found.pixel_length is not None and found.syntax != DEFLATED:
        end = found.pixel_offset + found.pixel_length
        assert data[found.pixel_offset : end] == pixels.value


def test_the_scan_equals_pydicom_on_every_file_of_its_test_suite(files, quiet_peer) -> None:
    scanned = 0
    for path in files:
        with path.open("rb") as stream:
            found = parse(stream, WANTED)
        if found is not None:
            scanned += 1
            assert_equals_pydicom(found, path.read_bytes())
    assert scanned >= 80


def test_stored_values_equal_pydicom_on_every_file_it_decodes(files, quiet_peer) -> None:
    compared = 0
    for path in files:
        for candidate in find(path).files:
            header = read_frames(candidate)[0]
            if isinstance(header, NotAnImage) or header.samples != 1:
                continue
            try:
                check_storage(header)
                ours = _stored_values(*reordered(read_patterns(header), header))
            except InputError:
                continue
            try:
                theirs = pydicom.dcmread(path).pixel_array
            except RuntimeError:  # no plugin for it here
                continue
            np.testing.assert_array_equal(ours, theirs[0] if header.frames > 1 else theirs)
            compared += 1
    assert compared >= 40


def reordered(decoded, header) -> Any:
    patterns, precision = decoded
    return patterns, header, precision


def test_nothing_in_pydicoms_test_suite_makes_the_header_pass_raise(files) -> None:
    for path in files:
        for candidate in find(path).files:
            read_header(candidate)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["LO", "DS", "OB", "UN", "UT", "SQ", "US", "FD"]),
            st.binary(max_size=40),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_the_scan_equals_pydicom_among_private_elements(dicom, private, implicit) -> None:
    image = dicom.datasets(dicom.phantom((2, 6, 6)))[0]
    image.add_new(0x00090010, "LO", "VENDOR")
    for number, (vr, value) in enumerate(private):
        tag = 0x00091000 + number
        if vr == "SQ":
            item = pydicom.Dataset()
            item.Rows, item.PatientName = 3, "inner"
            image.add_new(tag, vr, [item] * (len(value) % 3))
        elif vr in ("US", "FD"):
            image.add_new(tag, vr, [1] * (1 + len(value) % 3))
        elif vr in ("OB", "UN"):
            image.add_new(tag, vr, value + b"\0" * (len(value) % 2))
        else:
            image.add_new(tag, vr, "1" * min(len(value), 16))
    buffer = io.BytesIO()
    syntax = dicom.IMPLICIT if implicit else dicom.EXPLICIT
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(buffer, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    found = parse(io.BytesIO(buffer.getvalue()), WANTED)
    assert found is not None
    assert_equals_pydicom(found, buffer.getvalue())
    assert found.elements[TAGS["Rows"]] == b"\6\0"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.booleans())
def test_the_scan_never_raises_on_noise(noise, framed) -> None:
    head = b"\0" * 128 + b"DICM\2\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0" if framed else b""
    assert parse(io.BytesIO(head + noise), WANTED) is None or framed
