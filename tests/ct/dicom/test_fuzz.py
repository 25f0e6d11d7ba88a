"""Truncated, flipped and random DICOM: our errors, or the intact volume, or a report that says so.

Excepted, because no other byte of the files confirms them: values inside pixel data (a codec
without a checksum decodes a flipped bit to other pixels), and the few header fields named in
`UNCONFIRMED`. Inside a zip archive even those are covered by its checksums.
"""

import faulthandler
import shutil
import zipfile
from typing import Any

import numpy as np
import pytest

from longllava_domains import ct
from longllava_domains.errors import InputError

PIXEL_DATA = 0x7FE00010
# What one header says for every slice, of one file that holds all of them.
UNCONFIRMED_ENHANCED = frozenset(
    {0x00280030, 0x00200037, 0x00200032, 0x00281052, 0x00281053, 0x00280120, 0x00280101,
     0x00280102, 0x00280103}
)  # fmt: skip
SHAPE = (5, 12, 14)
CASES = {"explicit": 260, "implicit": 200, "jpeg_ls": 160, "jpeg_lossless": 120, "jpeg2000": 120,
         "htj2k": 60, "rle": 100, "deflated": 60, "big_endian": 80}  # fmt: skip


@pytest.fixture(autouse=True)
def no_hang() -> Any:
    """A hang ends the run with a trace instead of for ever."""
    faulthandler.dump_traceback_later(90, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def opened(path) -> Any:
    volume = ct.open_volume(path)
    return volume.hu, volume.affine_ras_mm, volume.report.to_json()


def check(path, intact, *, pixels_may_differ, place_may_differ=False) -> str:
    """Open a damaged input; return what came of it."""
    try:
        hu, affine, report = opened(path)
    except InputError:  # anything else is a failure
        return "refused"
    same_place = hu.shape == intact[0].shape and np.allclose(affine, intact[1], atol=0.1)
    same_values = same_place and np.array_equal(hu, intact[0])
    if same_values or report["codes"] != intact[2]["codes"]:
        return "same" if same_values else "reported"
    assert pixels_may_differ, "a wrong volume without a word"
    assert same_place or place_may_differ, "a wrong place without a word"
    return "pixels"


def mutate(data, rng, pixel_offset) -> Any:
    """Damage bytes in one of several ways; say whether only pixel values can have changed."""
    data = bytearray(data)
    kind = rng.integers(6)
    if kind == 0:
        return bytes(data[: rng.integers(0, len(data))]), False
    if kind == 1:  # the header is where the traps are
        at = int(rng.integers(128, pixel_offset))
        data[at] ^= 1 << int(rng.integers(8))
        return bytes(data), False
    if kind == 2:
        at = int(rng.integers(128, pixel_offset))
        data[at] = int(rng.integers(256))
        return bytes(data), False
    if kind == 3:
        at = int(rng.integers(pixel_offset, len(data)))
        data[at] ^= 1 << int(rng.integers(8))
        return bytes(data), True
    if kind == 4:  # a stretch of noise
        at = int(rng.integers(128, len(data)))
        length = int(rng.integers(1, 40))
        data[at : at + length] = rng.bytes(len(data[at : at + length]))
        return bytes(data), at >= pixel_offset
    at = int(rng.integers(128, len(data)))
    del data[at : at + int(rng.integers(1, 20))]
    return bytes(data), at >= pixel_offset


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("syntax", CASES)
def test_one_damaged_file_of_a_series(syntax, dicom, tmp_path) -> None:
    rng = np.random.default_rng(len(syntax))
    folder = dicom.write_series(
        tmp_path / "a", hu=dicom.phantom(SHAPE), syntax=dicom.LOSSLESS[syntax]
    )
    files = sorted(folder.iterdir())
    intact = opened(folder)
    tag = b"\x7f\xe0\x00\x10" if syntax == "big_endian" else b"\xe0\x7f\x10\x00"
    outcomes = []
    for _ in range(CASES[syntax]):
        victim = files[rng.integers(len(files))]
        whole = victim.read_bytes()
        # A deflated data set is one stream: any byte of it may be a pixel.
        start = 400 if syntax == "deflated" else whole.index(tag)
        damaged, pixels = mutate(whole, rng, start)
        victim.write_bytes(damaged)
        outcomes.append(check(folder, intact, pixels_may_differ=pixels))
        victim.write_bytes(whole)
    assert {"refused", "same"} <= set(outcomes)


def element_spans(data, tags) -> Any:
    """Return where the values of some elements lie, at any depth, explicit little endian."""
    spans = []
    for tag in tags:
        spelled = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        at = data.find(spelled)
        while at >= 0:
            spans.append((at, at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")))
            at = data.find(spelled, at + 4)
    return spans


def test_a_damaged_enhanced_image(dicom, tmp_path) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / "e.dcm"
    dicom.save(dicom.enhanced(dicom.datasets(dicom.phantom(SHAPE))), path)
    intact = opened(path)
    whole = path.read_bytes()
    start = whole.index(b"\xe0\x7f\x10\x00")
    spans = element_spans(whole, UNCONFIRMED_ENHANCED)
    for _ in range(120):
        data = bytearray(whole)
        if rng.integers(4) == 0:
            path.write_bytes(data[: rng.integers(len(data))])
            check(path, intact, pixels_may_differ=False)
            continue
        at = int(rng.integers(128, len(data)))
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        if any(low <= at < high for low, high in spans):
            assert check(path, intact, pixels_may_differ=True, place_may_differ=True)
            continue
        check(path, intact, pixels_may_differ=at >= start)


def test_a_damaged_zip_never_gives_other_values(dicom, tmp_path) -> None:
    rng = np.random.default_rng(5)
    folder = dicom.write_series(tmp_path / "a", hu=dicom.phantom(SHAPE))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    intact = opened(path)
    whole = path.read_bytes()
    for _ in range(120):
        data = bytearray(whole)
        if rng.integers(3) == 0:
            data = data[: rng.integers(len(data))]
        else:
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        check(path, intact, pixels_may_differ=False)


def test_random_bytes_behind_a_dicom_preamble(dicom, tmp_path) -> None:
    rng = np.random.default_rng(3)
    meta = dicom.save(dicom.datasets(dicom.phantom((2, 8, 8)))[0], tmp_path / "x").read_bytes()[
        :340
    ]
    path = tmp_path / "random.dcm"
    for case in range(150):
        head = (b"\0" * 128 + b"DICM", meta, b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")[case % 3]
        path.write_bytes(head + rng.bytes(int(rng.integers(0, 3000))))
        with pytest.raises(InputError):
            _ = ct.open_volume(path).hu


def test_random_codestreams_in_sound_files(dicom, tmp_path) -> None:
    """Garbage with the right first bytes: decoders are asked, and nothing hangs."""
    rng = np.random.default_rng(4)
    images = dicom.datasets(dicom.phantom((3, 8, 8)), syntax=dicom.LOSSLESS["jpeg_ls"])
    starts = (
        b"\xff\xd8\xff\xf7",
        b"\xff\xd8\xff\xc3",
        b"\xff\x4f\xff\x51",
        b"\xff\xd8\xff\xc0",
        b"",
    )
    for case in range(60):
        for image in images:
            noise = starts[case % 5] + rng.bytes(int(rng.integers(2, 300)))
            dicom.set_pixels(image, [noise + (b"\xff\xd9" if case % 2 else b"")])
        folder = dicom.write(images, tmp_path / "a")
        with pytest.raises(InputError):
            _ = ct.open_volume(folder).hu
        shutil.rmtree(folder)
