"""Whatever a stranger wrote into the index of an archive, it is entries or one plain error."""

import os
import zipfile
from pathlib import Path

import pytest

from longllava_domains import ct
from longllava_domains.errors import InputError
from longllava_domains.formats.zip_index import (
    ZIP_ERRORS,
    file_entries,
    is_zip_archive,
    open_zip,
)
from longllava_domains.remote_sensing.recognise import is_raster


def test_an_entry_without_a_name_is_no_file_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ab", b"1234")
        archive.writestr("folder/", b"")
        archive.writestr("x", b"5678")
    data = path.read_bytes()
    central = data.rindex(b"PK\x01\x02")
    # The last name's length becomes 0, and the name an extra field of one byte.
    data = data[: central + 28] + b"\0\0\1\0" + data[central + 32 :]
    path.write_bytes(data)
    with open_zip(path) as archive:
        assert [entry.filename for entry in file_entries(archive)] == ["ab"]
    with pytest.raises(InputError):
        ct.open_volume(path)
    assert is_raster(path) is False


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_under_any_compression_raises_what_we_know(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", os.urandom(500) + bytes(5000))
    sound = path.read_bytes()
    for at in range(31, 300, 7):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x5A]) + sound[at + 1 :])
        try:
            with open_zip(path) as archive, archive.open(file_entries(archive)[0]) as stream:
                stream.read()
        except ZIP_ERRORS:
            pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_is_no_archive_and_no_raster(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_zip_archive(tmp_path / "pipe") is False
    assert is_raster(tmp_path / "pipe") is False
    with pytest.raises(OSError, match="zip archive"):
        open_zip(tmp_path / "pipe")
