"""How every image of a TIFF is compressed is found, and no directory leads astray."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.formats.tiff.compressions import holds_only

NONE, DEFLATE = 1, 8
IMAGE = np.zeros((64, 64), np.uint8)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_page_and_every_page_below_it_counts(tmp_path: Path, big: bool, order: str) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as writer:
        writer.write(IMAGE, subifds=1)
        writer.write(IMAGE[:32, :32], compression="zlib")
        writer.write(IMAGE)
    assert holds_only(str(path), frozenset({NONE, DEFLATE}))
    assert not holds_only(str(path), frozenset({NONE}))


def directory(at: int, following: int, tags: int = 1) -> bytes:
    entries = struct.pack("<HHII", 259, 3, 1, NONE) * tags
    return struct.pack("<H", tags) + entries + struct.pack("<I", following)


@pytest.mark.parametrize(
    ("data", "followed"),
    [
        (b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory(16, 16), True),  # a circle
        (b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory(16, 10**6), False),
        (b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory(16, 0, 5000), False),
        (b"II*\0" + struct.pack("<I", 0) + bytes(8), False),
        (b"II*\0", False),
        (b"", False),
    ],
)
def test_what_cannot_be_followed_is_not_trusted(
    tmp_path: Path, data: bytes, followed: bool
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert holds_only(str(path), frozenset({NONE})) is followed


@settings(deadline=None, max_examples=300)
@given(
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
    kept=st.integers(0, 4200),
)
def test_damage_anywhere_gives_an_answer(tmp_path_factory, edits, kept: int) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    tifffile.imwrite(path, IMAGE, description="a" * 90)
    data = bytearray(path.read_bytes()[:kept])
    for place, value in edits:
        if place < len(data):
            data[place] = value
    path.write_bytes(data)
    assert holds_only(str(path), frozenset({NONE})) in (True, False)
