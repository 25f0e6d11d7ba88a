"""Header values are read where one reading is possible, and refused otherwise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.formats.dicom.values import (
    BadValueError,
    decimal,
    decimals,
    integer,
    unsigned_short,
    words,
)


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (b"", ()),
        (b" ", ()),
        (b"1.5", (1.5,)),
        (b" -1024 ", (-1024.0,)),
        (b"+1.0E-3\\2\0", (0.001, 2.0)),
        (b"0,7\\0,8", (0.7, 0.8)),
        (b".5\\5.", (0.5, 5.0)),
    ],
)
def test_decimal_strings(raw, numbers) -> None:
    assert decimals(raw) == numbers


@pytest.mark.parametrize(
    "raw", [b"seven", b"1.2.3", b"1,234.5", b"nan", b"inf", b"1e999", b"1\\\\2", b"0x10", b"1_0"]
)
def test_what_is_no_number_is_refused(raw) -> None:
    with pytest.raises(BadValueError):
        decimals(raw)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_written_in_full_is_read_back(number) -> None:
    assert decimal(repr(number).encode()) == number


@given(st.binary(max_size=30))
def test_noise_is_numbers_or_a_bad_value(raw) -> None:
    try:
        assert all(math.isfinite(number) for number in decimals(raw))
    except BadValueError:
        assert raw


def test_integers_and_shorts() -> None:
    assert integer(b"12") == integer(b"12.0 ") == 12
    assert integer(b"") is None
    with pytest.raises(BadValueError):
        integer(b"1.5")
    with pytest.raises(BadValueError):
        integer(b"1\\2")
    assert unsigned_short(b"\1\0", little_endian=True) == 1
    assert unsigned_short(b"\1\0", little_endian=False) == 256
    with pytest.raises(BadValueError):
        unsigned_short(b"\1", little_endian=True)


def test_words_are_upper_case_and_stripped() -> None:
    assert words(b"original\\ primary\0") == ("ORIGINAL", "PRIMARY")
    assert words(b"") == ()
