"""Zip archives elsewhere are read where their place can be sought, and counted where it cannot."""

import functools
import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import fsspec
import numpy as np
import pytest

from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest import walk, zips
from longllava_domains.archive.manifest.item_files import local_source, open_ct
from longllava_domains.archive.manifest.manifest import Manifest
from longllava_domains.archive.manifest.scan import ScanSummary, scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.errors import DamagedInputError, NotFoundError, UnsupportedInputError

SECRET = SiteSecret(bytes(range(32)))
TIFF = b"II*\0" + bytes(range(256)) * 40
Scan = Callable[..., tuple[ScanSummary, list[Item]]]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    def run(source: object, domain: str = "ct") -> Any:
        place = tmp_path / "private" / f"{len(list(tmp_path.rglob('*.parquet')))}.parquet"
        links = place.with_suffix(".linkage")
        summary = scan_archive(str(source), domain, place, secret=SECRET, linkage=links)
        return summary, list(Manifest(place)())

    return run


@pytest.fixture
def packed(tmp_path: Path, dicom: ModuleType) -> Path:
    """A folder of three archives: a study, a damaged one, and one that holds a scene."""
    root = tmp_path / "packed"
    root.mkdir()
    with zipfile.ZipFile(root / "study.zip", "w") as file:
        for place in sorted(dicom.write_series(tmp_path / "loose").iterdir()):
            file.write(place, place.name)
    with zipfile.ZipFile(root / "scene.zip", "w") as file:
        file.writestr("a.tif", TIFF)
    (root / "bad.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    return root


@pytest.fixture
def one(packed: Path) -> Path:
    """The same folder with nothing but the study."""
    (packed / "bad.zip").unlink()
    (packed / "scene.zip").unlink()
    return packed


class Whole(http.server.SimpleHTTPRequestHandler):
    """Serves whole files only."""

    def log_message(self, *arguments: object) -> None:
        pass


class Ranges(Whole):
    """Answers requests for ranges, too, and notes the bytes of each."""

    sent: list[int]

    def do_GET(self) -> None:
        asked, place = self.headers.get("Range"), Path(self.translate_path(self.path))
        if asked is None or not place.is_file():
            super().do_GET()
            return
        first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        whole = place.read_bytes()
        piece = whole[first : last + 1]
        self.sent.append(len(piece))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)


@contextmanager
def serving(folder: Path, kind: type[Whole]) -> Iterator[str]:
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def in_memory(packed: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(packed), "/packed", recursive=True)
    yield "memory://packed"
    system.rm("/packed", recursive=True)


@pytest.fixture
def over_http(packed: Path) -> Iterator[str]:
    with serving(packed, Whole) as url:
        yield url


@pytest.mark.parametrize("remote", ["in_memory", "over_http"])
def test_remote_archives_give_the_items_of_local_ones(
    remote: str, request: pytest.FixtureRequest, packed: Path, scan: Scan, phantom: np.ndarray
) -> None:
    url = request.getfixturevalue(remote)
    _, (here,) = scan(packed)
    summary, (there,) = scan(url)
    assert (there.item_id, there.members) == (here.item_id, here.members)
    assert summary.set_aside["zip.damaged"] == 1
    np.testing.assert_array_equal(open_ct(there).hu, phantom)
    _, (scene,) = scan(url, "remote_sensing")
    with local_source(scene) as place:
        assert Path(place).read_bytes() == TIFF


def test_a_large_remote_archive_is_fetched_in_ranges(
    one: Path, scan: Scan, phantom: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_WHOLE_BYTES", 0)  # as if every file were large
    archive = one / "study.zip"
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("other.bin", bytes(24 << 20))
    Ranges.sent = []
    with serving(one, Ranges) as url:
        _, (item,) = scan(url)
        assert item.uri == f"{url}study.zip!/"
        assert sum(Ranges.sent) >= archive.stat().st_size  # a scan looks into every entry
        Ranges.sent = []
        np.testing.assert_array_equal(open_ct(item).hu, phantom)
    assert 0 < sum(Ranges.sent) < archive.stat().st_size // 2


def test_an_archive_that_cannot_be_sought_or_is_too_large_is_counted(
    one: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(one, Whole) as url:
        _, (item,) = scan(url)
        monkeypatch.setattr(walk, "_WHOLE_BYTES", 0)
        with pytest.raises(NotFoundError) as caught:
            scan(url, "remote_sensing")
        assert "1 file.remote_zip" in str(caught.value)
        monkeypatch.undo()
        monkeypatch.setattr(zips, "MAX_REMOTE_BYTES", 1000)
        with pytest.raises(UnsupportedInputError) as refused:
            open_ct(item)
    assert refused.value.code == "file.remote_zip"


def test_a_remote_archive_that_is_gone_or_cut_is_refused(
    in_memory: str, packed: Path, scan: Scan
) -> None:
    _, (item,) = scan(f"{in_memory}/study.zip")
    system = fsspec.filesystem("memory")
    system.pipe("/packed/study.zip", (packed / "study.zip").read_bytes()[:5000])
    with pytest.raises(DamagedInputError):
        open_ct(item)
    system.rm("/packed/study.zip")
    with pytest.raises(NotFoundError):
        open_ct(item)
    system.touch("/packed/study.zip")


def test_a_remote_archive_that_did_not_change_is_not_read_again(
    in_memory: str, tmp_path: Path
) -> None:
    place = tmp_path / "private" / "m.parquet"
    counts = [scan_archive(in_memory, "ct", place, secret=SECRET).read for _ in range(2)]
    assert counts[0] > counts[1] == 0
