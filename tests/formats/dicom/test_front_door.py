"""Bombs and links in front of the CT loader: bounded by what they really hold."""

import shutil
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import ModuleType

import pydicom
import pytest

from longllava_domains import ct
from longllava_domains.errors import DamagedInputError, InputError, UnsupportedInputError
from longllava_domains.formats.dicom.find import find
from longllava_domains.formats.dicom.pydicom_parser import UnparsableError, read_dataset
from longllava_domains.formats.magic import read_magic
from longllava_domains.units import MIB

DEFLATED = "1.2.840.10008.1.2.1.99"
_INFLATED = 256 * MIB + 123_457


def test_a_link_to_itself_does_not_make_a_folder_unreadable(
    dicom: ModuleType, tmp_path: Path
) -> None:
    folder = dicom.write_series(tmp_path / "series")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "above").symlink_to(tmp_path)
    volume = ct.open_volume(folder)
    assert volume.shape == ct.open_volume(dicom.write_series(tmp_path / "plain")).shape
    assert volume.report.codes["file.unreadable"] == 1


def test_an_entry_that_declares_little_and_inflates_to_much_is_bounded(
    dicom: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a", bytes(_INFLATED))
    data = bytearray(path.read_bytes())
    real, declared = _INFLATED.to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, declared))
    file = find(path).files[0]
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="entry"):
            file.open()
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


def bomb(dicom: ModuleType, path: Path, inflated: int) -> Path:
    """Write a deflated file whose data set is followed by zeros without end."""
    image = dicom.datasets(syntax=DEFLATED)[0]
    data = dicom.save(image, path).read_bytes()
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    body = zlib.decompress(data[start:], -15) + bytes(inflated)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    path.write_bytes(data[:start] + deflater.compress(body) + deflater.flush())
    return path


def test_a_deflated_data_set_beyond_the_limit_is_refused_unread(
    dicom: ModuleType, tmp_path: Path
) -> None:
    path = bomb(dicom, tmp_path / "bomb", 64 * MIB)
    assert path.stat().st_size < MIB
    assert read_magic(path).kind == "dicom"
    with pytest.raises(InputError):
        ct.open_volume(path)
    with pytest.raises(UnparsableError):
        read_dataset(find(path).files[0])


def test_a_sound_deflated_data_set_is_read_again(dicom: ModuleType, tmp_path: Path) -> None:
    image = dicom.datasets(syntax=DEFLATED)[0]
    path = dicom.save(image, tmp_path / "sound")
    again = read_dataset(find(path).files[0])
    assert again.SOPInstanceUID == image.SOPInstanceUID
    assert "PixelData" not in again


def test_pixels_of_a_claimed_giant_are_never_allocated(dicom: ModuleType, tmp_path: Path) -> None:
    """65,535 x 65,535 pixels in a few kilobytes: refused by the claim, not by the machine."""

    images = dicom.datasets(syntax="1.2.840.10008.1.2.4.90")
    for image in images:
        image.Rows = image.Columns = 65535
    folder = dicom.write(images, tmp_path / "giant")
    with pytest.raises((UnsupportedInputError, DamagedInputError)):
        ct.open_volume(folder).source.read([0])


@pytest.mark.parametrize("change", ["swap", "replace", "append", "touch_pixels"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"])
def test_files_that_change_between_opening_and_decoding_are_refused(
    dicom: ModuleType, tmp_path: Path, change: str, syntax: str
) -> None:
    folder = dicom.write_series(tmp_path / "series", syntax=syntax)
    volume = ct.open_volume(folder)
    first, second = sorted(folder.iterdir())[:2]
    if change == "swap":
        first.rename(tmp_path / "kept")
        second.rename(first)
        (tmp_path / "kept").rename(second)
    elif change == "replace":
        shutil.copy2(second, first)
    elif change == "append":
        with first.open("ab") as file:
            file.write(b"\0\0")
    else:
        data = bytearray(first.read_bytes())
        data[-3] ^= 1
        first.write_bytes(data)
    with pytest.raises(DamagedInputError) as refused:
        assert volume.hu.size
    assert refused.value.code == "input.changed"
    with pytest.raises(DamagedInputError):
        volume.source.source_headers()


def test_an_archive_that_changes_is_refused(dicom: ModuleType, tmp_path: Path) -> None:
    folder = dicom.write_series(tmp_path / "series")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    volume = ct.open_volume(packed)
    with packed.open("r+b") as file:
        file.seek(200)
        file.write(b"\1")
    with pytest.raises(DamagedInputError, match="changed"):
        assert volume.hu.size


@pytest.mark.parametrize(
    "keyword", ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "PixelData"]
)
def test_another_patient_study_or_pixels_are_refused_where_the_file_system_tells_nothing(
    dicom: ModuleType, tmp_path: Path, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the stamps stands a digest of what was seen, for file systems without true times."""
    monkeypatch.setattr(
        "longllava_domains.formats.dicom.find.open_unchanged", lambda place, *_: place.open("rb")
    )
    folder = dicom.write_series(tmp_path / "series")
    volume = ct.open_volume(folder)
    volume.source.content_sha256()
    assert len(volume.source.source_headers()) == volume.shape[0]
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        value = image[keyword].value
        image[keyword].value = bytes(len(value)) if keyword == "PixelData" else f"{value}1"
        image.save_as(path)
    with pytest.raises(DamagedInputError) as refused:
        volume.source.source_headers()
    assert refused.value.code == "input.changed"
