"""Hazards of finding the files: clutter, missing preambles, DICOMDIR, links and archives."""

import zipfile
from typing import Any

import pytest
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from longllava_domains import ct
from longllava_domains.errors import DamagedInputError, InputError, UnsupportedInputError
from longllava_domains.formats.dicom import zip_archive


def write_dicomdir(dicom, folder, file_ids) -> Any:
    directory = Dataset()
    directory.file_meta = dicom.datasets()[0].file_meta
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.FileSetID = "STUDY"
    records = []
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        with config.disable_value_validation():
            record.ReferencedFileID = file_id
        records.append(record)
    directory.DirectoryRecordSequence = Sequence(records)
    return dicom.save(directory, folder / "DICOMDIR")


def zipped(folder, path, **how) -> Any:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.hazard("A", 8)
@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("notes.txt", b"Dear colleague, please find the scan attached. " * 20, "file.not_dicom"),
        ("key.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 400, "file.not_dicom"),
        ("letter.pdf", b"%PDF-1.7" + b"\0" * 400, "file.not_dicom"),
        ("viewer.exe", b"MZ\x90\0" + b"\0" * 400, "file.not_dicom"),
        (".DS_Store", b"\0\0\0\1Bud1" + b"\0" * 400, "file.clutter"),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0" * 200, "file.clutter"),
        ("__MACOSX/._s001", b"\0\5\x16\7" * 200, "file.clutter"),
        ("magic_only.dcm", b"\0" * 128 + b"DICM", "file.unparsable"),
    ],
)
def test_what_is_not_dicom_is_set_aside_and_counted(
    name, content, code, dicom, assert_whole, tmp_path
) -> None:
    folder = dicom.write_series(tmp_path / "study")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    volume = ct.open_volume(folder)
    assert_whole(volume)
    assert volume.report.codes[code] == 1


@pytest.mark.hazard("A", 2)
def test_a_dicomdir_is_a_hint_and_cannot_leave_its_folder(dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path / "in" / "SER1").parent
    secret = dicom.datasets(dicom.phantom(seed=3), series="2")
    dicom.write(secret, tmp_path / "outside")
    listed = [["SER1", "S000"], ["SER1", "MISSING"], ["..", "outside", "s000"]]
    directory = write_dicomdir(dicom, folder, listed)
    for path in (folder, directory):
        assert_whole(ct.open_volume(path))
    codes = ct.open_volume(directory).report.codes
    assert codes["file.dicomdir"] == 1
    assert codes["dicomdir.escape"] == 1
    assert codes["dicomdir.missing"] == 2  # S000 is spelled s000 on this disk


@pytest.mark.hazard("A", 1)
@pytest.mark.parametrize("name", ["explicit", "implicit", "big_endian"])
def test_files_without_preamble_or_meta_are_read(name, dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS[name])
    for path in folder.iterdir():
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")
        path.write_bytes(data[144 + length :])
    assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("A", 1)
def test_meta_without_preamble_is_read(dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["jpeg_ls"])
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert_whole(ct.open_volume(folder))


@pytest.mark.hazard("A", 1)
def test_compressed_pixels_without_a_transfer_syntax_speak_for_themselves(
    dicom, assert_whole, tmp_path
) -> None:
    folder = dicom.write_series(tmp_path, syntax=dicom.LOSSLESS["jpeg_ls"])
    for path in folder.iterdir():
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")
        path.write_bytes(data[144 + length :])
    volume = ct.open_volume(folder)
    assert_whole(volume)
    assert volume.report.codes["decoder.by_content"] == 8


@pytest.mark.hazard("A", 3)
def test_nested_unicode_folders_and_symlink_loops(dicom, assert_whole, tmp_path) -> None:
    folder = dicom.write_series(tmp_path / "Müller" / "断层" / "a")
    (folder / "loop").symlink_to(tmp_path)
    (folder / "again").symlink_to(folder / "s000")
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    volume = ct.open_volume(tmp_path)
    assert_whole(volume)
    assert volume.report.codes["file.linked_again"] == 1
    assert volume.report.codes["file.unreadable"] == 1


@pytest.mark.hazard("A", 2)
def test_zip_entries_cannot_escape_and_clutter_is_counted(dicom, assert_whole, tmp_path) -> None:
    path = zipped(dicom.write_series(tmp_path / "a"), tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../../evil.dcm", b"text" * 100)
        archive.writestr("/abs/inner.zip", b"PK")
        archive.writestr("__MACOSX/._x", b"x")
    before = sorted(tmp_path.rglob("*"))
    volume = ct.open_volume(path)
    assert_whole(volume)
    assert volume.report.codes["file.nested_archive"] == 1
    assert volume.report.codes["file.clutter"] == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.hazard("A", 4)
def test_zip_bombs_and_broken_archives_are_refused(dicom, refused, tmp_path, monkeypatch) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (80 << 20))
    error = refused(bomb, UnsupportedInputError, "zip.limits")
    assert error.facts["ratio"] > 200
    whole = zipped(dicom.write_series(tmp_path / "a"), tmp_path / "a.zip")
    monkeypatch.setattr(zip_archive, "MAX_ENTRIES", 5)
    assert refused(whole, UnsupportedInputError, "zip.limits").facts["entries"] == 8
    monkeypatch.undo()
    whole = whole.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    refused(cut, DamagedInputError, "zip.damaged")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10  # inside one entry: its CRC no longer holds
    cut.write_bytes(flipped)
    with pytest.raises(InputError):
        _ = ct.open_volume(cut).hu
