"""A scan lists studies as the CT loader would choose them, under keyed ids, and reads only news."""

import functools
import http.server
import os
import shutil
import sqlite3
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from longllava_domains import ct, units
from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.item_files import dicom_files, open_ct
from longllava_domains.archive.manifest.manifest import Manifest
from longllava_domains.archive.manifest.scan import ScanSummary, scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.errors import InputError, NetworkError, NotFoundError, PolicyError

SECRET = SiteSecret(bytes(range(32)))
Scan = Callable[..., tuple[ScanSummary, list[Item]]]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    def run(source: object, domain: str = "ct", name: str = "m.parquet", secret=SECRET) -> Any:
        place = tmp_path / "private" / name
        links = None if name == "m.parquet" else place.with_suffix(".linkage")
        summary = scan_archive(str(source), domain, place, secret=secret, linkage=links)
        return summary, list(Manifest(place)())

    return run


@pytest.fixture
def archive(tmp_path: Path, dicom: ModuleType) -> Path:
    """Three studies: one with two series, one in a zip archive, one that no loader takes."""
    root = tmp_path / "archive"

    def of_study(number: int, kernel: str = "B30f") -> Any:
        def edit(image, index) -> None:
            image.StudyInstanceUID = f"{dicom.ROOT}.77.{number}"
            image.SOPInstanceUID = f"{dicom.ROOT}.77.{number}.{kernel[1:3]}.{index}"
            image.SeriesInstanceUID = f"{dicom.ROOT}.77.{number}.{kernel[1:3]}"
            image.ConvolutionKernel = kernel

        return edit

    dicom.write_series(root / "DOE^JANE" / "soft", edit=of_study(1))
    dicom.write_series(root / "DOE^JANE" / "sharp", edit=of_study(1, "B70f"))
    packed = dicom.write_series(tmp_path / "packed", edit=of_study(2))
    with zipfile.ZipFile(root / "study.zip", "w") as file:
        for place in sorted(packed.iterdir()):
            file.write(place, place.name)
    dicom.write(dicom.datasets()[:1], root / "alone" / "a")
    (root / "notes.txt").write_text("nothing")
    return root


def test_studies_are_items_and_the_loader_opens_what_was_chosen(
    archive: Path, scan: Scan, phantom: np.ndarray
) -> None:
    summary, items = scan(archive)
    assert summary.items == len(items) == 3
    assert summary.set_aside == {"file.not_of_domain": 1}
    assert summary.expected == {}
    whole = [item for item in items if item.images == len(phantom)]
    assert len(whole) == 2
    for item in whole:
        np.testing.assert_array_equal(open_ct(item).hu, phantom)
        assert item.decoded_bytes == phantom.nbytes
        assert item.bytes == sum(file.size for file in dicom_files(item).files)


def test_of_two_series_the_one_that_open_volume_takes_is_listed(archive: Path, scan: Scan) -> None:
    _, items = scan(archive / "DOE^JANE")
    (item,) = items
    (row,) = [row for row in ct.list_series(archive / "DOE^JANE") if row.chosen]
    assert (item.series, item.images) == (row.key, row.images)
    listed, chosen = open_ct(item), ct.open_volume(archive / "DOE^JANE")
    np.testing.assert_array_equal(listed.hu, chosen.hu)
    np.testing.assert_array_equal(listed.affine_ras_mm, chosen.affine_ras_mm)


def test_a_study_that_the_chooser_refuses_is_listed_with_its_code(
    tmp_path: Path, dicom: ModuleType, scan: Scan
) -> None:
    for series in ("1", "2"):
        dicom.write_series(tmp_path / "twins" / series, series=series)
    summary, (item,) = scan(tmp_path / "twins")
    assert summary.expected == {"series.ambiguous": 1}
    assert item.expected == "series.ambiguous"


def test_ids_depend_on_content_and_secret_and_not_on_place(
    archive: Path, tmp_path: Path, scan: Scan
) -> None:
    _, items = scan(archive)
    shutil.copytree(archive, tmp_path / "moved" / "elsewhere")
    _, moved = scan(tmp_path / "moved", name="moved.parquet")
    _, other = scan(archive, name="other.parquet", secret=SiteSecret(bytes(32)))

    def ids(found: list[Item]) -> set[tuple[str, str]]:
        return {(item.item_id, item.study_key) for item in found}

    assert ids(items) == ids(moved)
    assert ids(items).isdisjoint(ids(other))


def test_what_a_later_run_reads_is_known_again(
    archive: Path, scan: Scan, dicom: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Family: identifiers hashed by the key of one run, and kept for the next."""
    _, before = scan(archive)
    monkeypatch.setattr(units, "_KEY", bytearray(b"the key of another process......"))
    _, anew = scan(archive, name="anew.parquet")
    assert [item.item_id for item in anew] == [item.item_id for item in before]
    copied = next((archive / "DOE^JANE" / "soft").iterdir())
    shutil.copyfile(copied, copied.with_name("copy"))
    (one,) = (item for item in scan(archive)[1] if item.item_id == before[0].item_id)
    assert (len(one.members), one.expected) == (len(before[0].members), before[0].expected)


def test_an_index_of_hashes_that_do_not_last_is_made_anew(
    archive: Path, scan: Scan, tmp_path: Path
) -> None:
    whole, before = scan(archive)
    with closing(sqlite3.connect(tmp_path / "private" / "m.parquet.index")) as index:
        index.execute("DELETE FROM facts WHERE name = 'hashes'")
        index.commit()
    again, same = scan(archive)
    assert (again.read, same) == (whole.read, before)
    assert scan(archive)[0].read == 0


def test_copies_of_an_item_are_listed_once(archive: Path, scan: Scan) -> None:
    shutil.copyfile(archive / "study.zip", archive / "copy.zip")
    summary, items = scan(archive)
    assert len(items) == 3
    assert summary.set_aside["item.copy"] == 1


def test_a_rescan_reads_only_what_is_new_and_drops_what_is_gone(
    archive: Path, scan: Scan, dicom: ModuleType
) -> None:
    _, before = scan(archive)
    again, same = scan(archive)
    assert (again.read, again.gone, same) == (0, 0, before)
    shutil.rmtree(archive / "DOE^JANE" / "sharp")
    dicom.write_series(archive / "new", series="3")
    last, after = scan(archive)
    assert last.gone == last.read == 8
    assert len(after) == 3  # the new series joins the study of the lone image
    changed = next(archive.glob("new/*"))
    changed.write_bytes(changed.read_bytes() + b"\0\0")
    assert scan(archive)[0].read == 1


def test_manifest_index_linkage_and_secret_are_for_their_owner_alone(
    archive: Path, scan: Scan, tmp_path: Path
) -> None:
    scan(archive)
    SiteSecret.load(tmp_path / "private" / "secret")
    for file in (tmp_path / "private").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    linkage = pq.read_table(tmp_path / "private" / "linkage.parquet").to_pylist()
    assert {row["study_uid"] for row in linkage} == {
        "1.2.826.0.1.3680043.10.1561.99.77.1",
        "1.2.826.0.1.3680043.10.1561.99.77.2",
        "1.2.826.0.1.3680043.10.1561.99.0",
    }


def test_a_secret_is_made_once_and_then_kept(tmp_path: Path) -> None:
    first = SiteSecret.load(tmp_path / "home" / "secret")
    assert SiteSecret.load(tmp_path / "home" / "secret").check == first.check


def test_a_manifest_takes_one_source_domain_and_secret(archive: Path, scan: Scan) -> None:
    scan(archive)
    for how in ({"domain": "pathology"}, {"secret": SiteSecret(bytes(32))}):
        with pytest.raises(PolicyError) as caught:
            scan(archive, **how)
        assert caught.value.code == "archive.other_scan"


def test_the_linkage_of_another_scan_is_not_overwritten(
    archive: Path, scan: Scan, tmp_path: Path
) -> None:
    scan(archive)
    other = tmp_path / "private" / "other.parquet"
    with pytest.raises(PolicyError) as caught:
        scan_archive(str(archive / "alone"), "ct", other, secret=SECRET)
    assert caught.value.code == "archive.other_linkage"


def test_a_manifest_among_the_results_is_refused(archive: Path, scan: Scan, tmp_path: Path) -> None:
    scan(archive)
    manifest = Manifest(tmp_path / "private" / "m.parquet")
    manifest.require_outside(tmp_path / "results")
    with pytest.raises(PolicyError):
        manifest.require_outside(tmp_path)


def test_nothing_at_the_source_is_an_error(scan: Scan, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize("domain", ["pathology", "remote_sensing"])
def test_slides_and_scenes_are_single_files_known_by_content(
    domain: str, tmp_path: Path, scan: Scan
) -> None:
    tiff = b"II*\0" + bytes(range(256)) * 400
    root = tmp_path / "files"
    (root / "a").mkdir(parents=True)
    (root / "a" / "no_name_tells").write_bytes(tiff)
    (root / "copy.tif").write_bytes(tiff)
    (root / "other.svs").write_bytes(tiff[:-1] + b"x")
    (root / "report.pdf").write_bytes(b"%PDF-1.7")
    summary, items = scan(root, domain)
    assert len(items) == 2
    assert summary.set_aside["item.copy"] == 1
    assert all(item.study_key == item.item_id for item in items)
    assert {Path(item.uri).read_bytes() for item in items} == {tiff, tiff[:-1] + b"x"}


def test_nifti_files_are_items_of_ct(tmp_path: Path, scan: Scan) -> None:
    import nibabel

    root = tmp_path / "nifti"
    root.mkdir()
    values = np.full((4, 5, 6), -1000, np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / "v.nii.gz")
    _, (item,) = scan(root)
    assert item.uri == str(root / "v.nii.gz")
    assert open_ct(item, hu="trust").hu.shape == (6, 5, 4)


def test_frames_of_an_enhanced_image_are_one_item(
    tmp_path: Path, dicom: ModuleType, scan: Scan, phantom: np.ndarray
) -> None:
    dicom.save(dicom.enhanced(dicom.datasets()), tmp_path / "enhanced" / "one")
    _, (item,) = scan(tmp_path / "enhanced")
    assert item.images == len(phantom)
    np.testing.assert_array_equal(open_ct(item).hu, phantom)


def test_hostile_files_are_counted_and_never_end_a_scan(
    tmp_path: Path, dicom: ModuleType, scan: Scan
) -> None:
    root = tmp_path / "hostile"
    series = dicom.write_series(root / "series")
    cut = sorted(series.iterdir())[0]
    cut.write_bytes(cut.read_bytes()[:300])
    (root / "bad.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    (root / "empty").touch()
    os.mkfifo(root / "pipe")
    (root / "circle").symlink_to(root)
    summary, items = scan(root)
    assert len(items) == 1
    assert summary.set_aside["zip.damaged"] == 1
    assert summary.set_aside["file.empty"] == 1
    assert summary.set_aside["file.unreadable"] == 1


@pytest.fixture
def in_memory(archive: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(archive / "DOE^JANE"), "/bucket", recursive=True)
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


@pytest.fixture
def over_http(archive: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(archive / "DOE^JANE"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("remote", ["in_memory", "over_http"])
def test_remote_sources_give_the_same_items(
    remote: str, request: pytest.FixtureRequest, archive: Path, scan: Scan, phantom: np.ndarray
) -> None:
    url = request.getfixturevalue(remote)
    _, (here,) = scan(archive / "DOE^JANE")
    _, (there,) = scan(url, name="remote.parquet")
    assert there.item_id == here.item_id
    np.testing.assert_array_equal(open_ct(there).hu, phantom)


def test_an_unknown_protocol_is_refused(scan: Scan) -> None:
    with pytest.raises(NetworkError):
        scan("nosuch://bucket/x")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("cut", "ct.cut_files"),
        ("cropped", "ct.mixed_size"),
        ("of two", "series.mixed_patients"),
        ("phases", "series.ambiguous"),
    ],
)
def test_what_the_loader_refuses_in_the_folder_it_refuses_as_an_item(
    what: str, code: str, tmp_path: Path, scan: Scan, dicom: ModuleType
) -> None:
    """A slice that the chosen ones leave over is never dropped without a word."""

    def edit(image, index: int) -> None:
        if what == "cropped" and index == 0:
            image.Rows, image.PixelData = image.Rows - 2, image.PixelData[: -4 * image.Columns]
        if what == "of two":
            image.PatientID = f"P{index % 2}"

    folder = dicom.write_series(tmp_path / "archive" / "DOE^JANE", edit=edit)
    files = sorted(folder.iterdir())
    if what == "cut":
        files[0].write_bytes(files[0].read_bytes()[:900])
    if what == "phases":
        other = dicom.write_series(folder / "later", edit=lambda image, index: second_phase(image))
        assert other.is_dir()
    summary, (item,) = scan(tmp_path / "archive")
    with pytest.raises(InputError) as here:
        ct.open_volume(folder)
    with pytest.raises(InputError) as there:
        open_ct(item)
    assert here.value.code == there.value.code == item.expected == code
    assert summary.expected == {code: 1}


def second_phase(image: Any) -> None:
    """Make an image one of a second acquisition under the same series UID."""
    image.SOPInstanceUID += ".2"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.AcquisitionNumber = 2
    image.ImagePositionPatient = [0, 0, float(image.ImagePositionPatient[2]) + 0.3]


def test_a_scan_that_finds_nothing_is_refused_and_leaves_nothing(
    tmp_path: Path, archive: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    place = tmp_path / "out" / "m.parquet"
    for source, domain in ((empty, "ct"), (archive, "remote_sensing"), (tmp_path / "no", "ct")):
        with pytest.raises(NotFoundError):
            scan_archive(str(source), domain, place, secret=SECRET)
        assert not place.parent.exists()
    # The same name can be used for what was meant.
    assert scan_archive(str(archive), "ct", place, secret=SECRET).items == 3


def test_another_scans_linkage_is_refused_before_anything_is_read(
    tmp_path: Path, archive: Path
) -> None:
    place = tmp_path / "out"
    scan_archive(str(archive), "ct", place / "one.parquet", secret=SECRET)
    before = sorted(place.iterdir())
    with pytest.raises(PolicyError) as refused:
        scan_archive(str(archive / "DOE^JANE"), "ct", place / "two.parquet", secret=SECRET)
    assert refused.value.code == "archive.other_linkage"
    assert sorted(place.iterdir()) == before
