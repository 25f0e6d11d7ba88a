"""Broken NIfTI files end in our errors; text fields of whole ones are never repeated."""

import contextlib
import gzip
import io
import json
import logging
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest

from longllava_domains.adapters.phantoms.chest import chest_phantom
from longllava_domains.ct.nifti.open import open_nifti
from longllava_domains.ct.views.policy import SlicePolicy
from longllava_domains.errors import LongLlavaError

PHANTOM = chest_phantom(shape=(10, 32, 32), spacing_mm=(30.0, 11.0, 11.0))
VALUES = np.ascontiguousarray(PHANTOM.hu[::-1, ::-1, ::-1].transpose(2, 1, 0))
COS, SIN = np.cos(0.2), np.sin(0.2)
AFFINE = np.array(
    [
        [11 * COS, -11 * SIN, 0, -171.5],
        [11 * SIN, 11 * COS, 0, 88.25],
        [0, 0, 30, -703],
        [0, 0, 0, 1],
    ]
)
NAME = "Mustermann"

# Of each kind; about 1,200 in all.
CASES = 220


def whole_file() -> bytes:
    made = nibabel.Nifti1Image(VALUES, AFFINE)
    made.header.set_xyzt_units("mm")
    made.set_sform(AFFINE, code=1)
    made.set_qform(AFFINE, code=1)
    return made.to_bytes()


WHOLE = whole_file()
ZIPPED = gzip.compress(WHOLE, 6, mtime=0)


def outcome(path: Path, data: bytes) -> tuple[np.ndarray, np.ndarray, set[str]] | None:
    """Open damaged bytes: None where one of our errors refused them."""
    path.write_bytes(data)
    try:
        volume = open_nifti(path)
    except LongLlavaError:
        return None
    return volume.hu, volume.affine_ras_mm, set(volume.report.codes)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, set[str]]:
    opened = outcome(tmp_path_factory.mktemp("intact") / "scan.nii", WHOLE)
    assert opened is not None
    return opened


def assert_same_or_reported(
    opened: tuple[np.ndarray, np.ndarray, set[str]] | None,
    intact: tuple[np.ndarray, np.ndarray, set[str]],
) -> None:
    if opened is None:
        return
    same = np.array_equal(opened[0], intact[0])
    # float32 headers hold a few hundred millimetres to a hundredth
    placed = opened[1].shape == intact[1].shape and np.allclose(opened[1], intact[1], atol=0.02)
    assert (same and placed) or opened[2] - intact[2] or intact[2] - opened[2]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for whole in (WHOLE, ZIPPED):
        lengths = [*range(20), *range(340, 356), *rng.integers(0, len(whole), CASES - 40)]
        for length in (*lengths, len(whole) - 1):
            assert outcome(tmp_path / "scan.nii.gz", whole[:length]) is None


def test_every_flipped_header_bit_is_refused_reported_or_harmless(
    tmp_path: Path, intact: tuple[np.ndarray, np.ndarray, set[str]]
) -> None:
    rng = np.random.default_rng(1)
    for bit in rng.permutation(352 * 8)[: CASES * 2]:
        data = bytearray(WHOLE)
        data[bit // 8] ^= 1 << (bit % 8)
        assert_same_or_reported(outcome(tmp_path / "scan.nii", bytes(data)), intact)


def test_every_flipped_compressed_bit_is_refused_or_harmless(
    tmp_path: Path, intact: tuple[np.ndarray, np.ndarray, set[str]]
) -> None:
    rng = np.random.default_rng(2)
    for bit in rng.integers(0, len(ZIPPED) * 8, CASES):
        data = bytearray(ZIPPED)
        data[bit // 8] ^= 1 << (bit % 8)
        opened = outcome(tmp_path / "scan.nii.gz", bytes(data))
        assert opened is None or bit < 80  # the gzip header's time, system and flags
        assert_same_or_reported(opened, intact)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for case in range(CASES // 2):
        noise = rng.bytes(int(rng.integers(0, 4000)))
        heads = (b"", WHOLE[:4], b"\x1f\x8b\x08\x00", WHOLE[:348], gzip.compress(WHOLE)[:100])
        assert outcome(tmp_path / "scan.nii", heads[case % len(heads)] + noise) is None


def test_a_patients_name_in_any_text_field_appears_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In descrip, aux_file, intent_name, db_name, extensions, the gzip name and the path."""
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / NAME
    folder.mkdir()
    made = nibabel.Nifti1Image.from_bytes(WHOLE)
    made.header["descrip"] = made.header["aux_file"] = f"{NAME}^Erika"
    made.header["intent_name"] = made.header["db_name"] = NAME
    made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode() * 9))
    named = made.to_bytes()
    buffer = io.BytesIO()
    with gzip.GzipFile(f"{NAME}.nii", "wb", fileobj=buffer) as file:
        file.write(named)
    zipped = buffer.getvalue()
    assert NAME.encode() in zipped[:40]
    broken = [
        zipped, zipped[:-20], named[:4000], named[:300], named + b"x" * 900, b"\x5c\x01" + named[2:],
        named[:70] + b"\x80\x00" + named[72:], named[:252] + bytes(4) + named[256:],
    ]  # fmt: skip
    said: list[str] = []
    printed = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("always")
        for number, data in enumerate(broken):
            path = folder / f"{NAME}_{number}.nii.gz"
            path.write_bytes(data)
            try:
                volume = open_nifti(path)
            except LongLlavaError as error:
                chain = [
                    error,
                    error.__cause__,
                    None if error.__suppress_context__ else error.__context__,
                ]
                said += [f"{link!r} {vars(link)}" for link in chain if link is not None]
            else:
                sequence = volume.to_sequence(SlicePolicy(count=2))
                said.append(json.dumps(sequence.provenance.to_json()))
                said.append(json.dumps([view.place.to_json() for view in sequence]))
                said.append(f"{volume.report} {volume.facts} {volume!r} {sequence!r}")
    assert len(said) >= len(broken)
    everything = "".join(
        [*said, caplog.text, printed.getvalue(), *(str(w.message) for w in warned)]
    )
    assert NAME.lower() not in everything.lower()
