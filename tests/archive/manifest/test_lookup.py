"""Keys lead back to studies where the linkage is, and a forgotten study leaves nothing behind."""

from pathlib import Path
from types import ModuleType

import archive_stub as stub
import pytest

from longllava_domains.archive.engines.local import run_local
from longllava_domains.archive.engines.settings import Settings
from longllava_domains.archive.item import Item
from longllava_domains.archive.manifest.facts import SLIDE_CLASS
from longllava_domains.archive.manifest.lookup import forget, where
from longllava_domains.archive.manifest.manifest import Manifest
from longllava_domains.archive.manifest.scan import scan_archive
from longllava_domains.archive.manifest.secret import SiteSecret
from longllava_domains.archive.results.store import ResultStore
from longllava_domains.archive.results.upkeep import counts, retry
from longllava_domains.archive.scorer import Job, Scored
from longllava_domains.errors import NotFoundError, OutputError

SECRET = SiteSecret(bytes(range(32)))


@pytest.fixture
def scanned(tmp_path: Path, dicom: ModuleType) -> Manifest:
    for number in range(3):

        def edit(image, index, number=number) -> None:
            image.StudyInstanceUID = f"{dicom.ROOT}.55.{number}"
            image.SOPInstanceUID = f"{dicom.ROOT}.55.{number}.{index}"

        dicom.write_series(tmp_path / "archive" / f"patient{number}", edit=edit)
    (tmp_path / "private").mkdir()
    place = tmp_path / "private" / "m.parquet"
    scan_archive(str(tmp_path / "archive"), "ct", place, secret=SECRET)
    return Manifest(place)


class Writer(stub.StubScorer):
    """Writes a file for each item."""

    def __init__(self, output: Path) -> None:
        super().__init__(0.0)
        self._output = output

    def score(self, item: Item, prepared: str) -> Scored:
        name = f"{item.item_id}.json"
        (self._output / name).write_text(item.study_key)
        return Scored(text=item.study_key, files=(name,))


@pytest.fixture
def results(scanned: Manifest, tmp_path: Path) -> Path:
    output = tmp_path / "results"
    job = Job(stub.SPEC, stub.prepare, lambda: Writer(output))
    run_local(job, scanned, Settings(output))
    (output / "report.md").write_text("names keys")
    return output


def test_where_resolves_study_keys_and_item_ids(scanned: Manifest, tmp_path: Path) -> None:
    linkage = tmp_path / "private" / "linkage.parquet"
    for item in scanned():
        (by_study,), (by_item,) = where(item.study_key, linkage), where(item.item_id, linkage)
        assert by_study == by_item
        assert by_item.uri == item.uri
        assert by_item.study_uid.endswith(Path(item.uri).name.removeprefix("patient"))
    with pytest.raises(NotFoundError):
        where("0" * 32, linkage)


def test_a_forgotten_study_leaves_nothing_behind(
    scanned: Manifest, results: Path, tmp_path: Path, dicom: ModuleType
) -> None:
    victim, *others = scanned()
    linkage = tmp_path / "private" / "linkage.parquet"
    (origin,) = where(victim.item_id, linkage)
    assert forget(victim.study_key, scanned.path, linkage, results).rows == 1
    assert list(scanned()) == others
    assert len(stub.outcomes(results)) == 2
    traces = [victim.item_id, victim.study_key, origin.study_uid + "\0", victim.uri]
    for file in [*results.rglob("*"), *(tmp_path / "private").iterdir()]:
        content = file.read_bytes() if file.is_file() else b""
        assert victim.item_id not in file.name
        for trace in traces:
            assert trace.encode() not in content, file.name
    with pytest.raises(NotFoundError):
        where(victim.study_key, linkage)
    assert not (results / "report.md").exists()


def test_results_are_cleaned_after_the_manifest_forgot_the_study(
    scanned: Manifest, results: Path, tmp_path: Path
) -> None:
    victim = next(scanned())
    linkage = tmp_path / "private" / "linkage.parquet"
    assert forget(victim.study_key, scanned.path, linkage).rows == 0
    assert forget(victim.study_key, scanned.path, linkage, results).rows == 1
    assert not list(results.rglob(f"{victim.item_id}*"))
    with pytest.raises(NotFoundError):
        forget(victim.study_key, scanned.path, linkage, results)


def test_a_ledger_that_is_not_there_is_not_made(results: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        retry(results, ledger=tmp_path / "typo")
    assert caught.value.code == "archive.no_ledger"
    assert not (tmp_path / "typo").exists()


def test_forgetting_waits_for_no_run(scanned: Manifest, results: Path, tmp_path: Path) -> None:
    item = next(scanned())
    linkage = tmp_path / "private" / "linkage.parquet"
    with ResultStore(results, stub.SPEC), pytest.raises(OutputError) as caught:
        forget(item.study_key, scanned.path, linkage, results)
    assert caught.value.code == "archive.busy"
    assert len(list(scanned())) == 3
    assert len(stub.outcomes(results)) == 3


def test_retry_lets_failures_be_tried_again_and_keeps_the_rest(tmp_path: Path) -> None:
    run_local(stub.job(), stub.Items(20, ((1, "raise"), (9, "raise"))), Settings(tmp_path))
    assert counts(tmp_path)[stub.SPEC.key] == {"done": 15, "refused": 3, "failed": 2}
    assert retry(tmp_path) == 2
    assert counts(tmp_path)[stub.SPEC.key] == {"done": 15, "refused": 3}
    progress = run_local(stub.job(), stub.Items(20), Settings(tmp_path))
    assert progress.finished_here == 2
    assert counts(tmp_path)[stub.SPEC.key] == {"done": 17, "refused": 3}
    assert len(stub.outcomes(tmp_path)) == 20


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        counts(tmp_path)


def test_the_files_of_a_dicom_slide_are_one_item(tmp_path: Path, dicom: ModuleType) -> None:
    def edit(image, index) -> None:
        image.SOPClassUID = SLIDE_CLASS if index else image.SOPClassUID
        image.SeriesInstanceUID = f"{dicom.ROOT}.66.{index % 2}"

    dicom.write_series(tmp_path / "slides", edit=edit)
    place = tmp_path / "m.parquet"
    summary = scan_archive(str(tmp_path / "slides"), "pathology", place, secret=SECRET)
    items = list(Manifest(place)())
    assert summary.set_aside == {"file.other_modality": 1}
    assert sorted(len(item.members) for item in items) == [3, 4]
    assert len({item.study_key for item in items}) == 1
