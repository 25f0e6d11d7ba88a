"""An archive is scanned, scored with the demonstration model, interrupted, resumed and reported."""

import copy
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pytest
import raster_builder as rasters
import slide_builder as slides
from pydicom import Dataset

from longllava_domains import ct
from longllava_domains.archive import Manifest, Settings, SiteSecret, run_local, scan_archive
from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.archive import ArchiveTask, archive_job
from longllava_domains.pipelines.archive.planning import plan_run
from longllava_domains.pipelines.cli.main import run
from longllava_domains.vision_language import LoadOptions

PHANTOM = Path(__file__).parents[2] / "examples/chest_phantom"


@pytest.fixture
def archive(tmp_path: Path, dicom: ModuleType) -> Path:
    """A chest, and a study of one slice that no loader takes."""
    root = tmp_path / "archive"
    shutil.copytree(PHANTOM, root / "DOE^JANE")
    images = dicom.datasets()[:3]
    for image in images:
        image.ImagePositionPatient = [0, 0, 0]
    dicom.write(images, root / "broken")
    return root


def test_the_command_line_scans_scores_and_reports(
    archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    private, results = tmp_path / "private", str(tmp_path / "results")
    manifest, linkage = str(private / "m.parquet"), str(private / "linkage.parquet")
    scan = ["archive", "scan", str(archive), "--domain", "ct", "-o", manifest]
    assert run([*scan, "--secret", str(private / "secret")]) == 0
    assert "2 items" in capfd.readouterr().out
    score = ["archive", "run", manifest, "--task", "ct-findings", "--model", "demo"]
    score += ["--output", results, "--every-mm", "40", "--decoders", "0"]
    assert run([*score, "--dry-run", "--sample", "1"]) == 0
    assert "bottleneck" in capfd.readouterr().out
    assert run(score) == 0
    assert "2 of 2 items (1 done, 1 refused, 0 failed)" in capfd.readouterr().out
    assert run(score) == 0
    assert run(["archive", "status", results]) == 0
    assert run(["archive", "report", results]) == 0
    said = capfd.readouterr()
    assert "| done | 1 | 50.0% |" in said.out
    rows = pq.read_table(Path(results) / "parts").to_pylist()
    done = next(row for row in rows if row["status"] == "done")
    assert len(done["findings"]) == 18
    assert done["demo"]
    assert len(done["input_sha256"]) == 64
    assert "DOE" not in said.out + said.err
    assert run(["archive", "where", done["study_key"], "--linkage", linkage]) == 0
    assert "DOE^JANE" in capfd.readouterr().out
    forget = ["archive", "forget", done["study_key"], "--manifest", manifest]
    assert run([*forget, "--linkage", linkage, "--results", results]) == 0
    assert len(pq.read_table(Path(results) / "parts")) == 1
    assert 'status="done"} 1' in (Path(results) / "metrics.prom").read_text()


def test_results_among_the_manifest_and_unknown_shares_are_refused(
    archive: Path, tmp_path: Path
) -> None:
    manifest = str(tmp_path / "private" / "m.parquet")
    secret = ["--secret", str(tmp_path / "private" / "secret")]
    assert run(["archive", "scan", str(archive), "--domain", "ct", "-o", manifest, *secret]) == 0
    score = ["archive", "run", manifest, "--task", "ct-findings", "--model", "demo"]
    assert run([*score, "--output", str(tmp_path)]) == 2
    assert run([*score, "--output", str(tmp_path / "results"), "--shard", "x"]) == 2
    assert run([*score, "--output", str(tmp_path / "results"), "--engine", "dask"]) == 2


def test_specs_tell_tasks_models_questions_and_spacings_apart() -> None:
    asked = [
        ArchiveTask(task, "demo", settings=settings)
        for task in ("ct-findings", "ct-report")
        for settings in ({}, {"spacing_mm": 5.0})
    ]
    asked += [ArchiveTask("ask", "demo", question=text) for text in ("Where?", "What?")]
    keys = {archive_job(each, "ct").spec.key for each in asked}
    assert len(keys) == 6


def test_a_spec_names_the_adapter_that_the_domain_chose() -> None:
    chosen = archive_job(ArchiveTask("ct-findings", "demo"), "ct").spec
    named = LoadOptions(adapter="demo-ct")
    none = LoadOptions(adapter="none")
    assert chosen == archive_job(ArchiveTask("ct-findings", "demo", named), "ct").spec
    assert chosen.adapter_sha256
    assert archive_job(ArchiveTask("ct-findings", "demo", none), "ct").spec.adapter_sha256 == ""
    slides = archive_job(ArchiveTask("ask", "demo", question="What?"), "pathology").spec
    assert slides.adapter_sha256 not in ("", chosen.adapter_sha256)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"task": "ct-poem"}, "archive.task"),
        ({"task": "ask"}, "archive.question"),
        ({"task": "ct-report", "question": "Why?"}, "archive.question"),
        ({"task": "ct-findings", "model": None}, "cli.model"),
        ({"task": "ct-findings", "files": ("gpkg",)}, "archive.files"),
        ({"task": "ct-report", "files": ("sr",)}, "export.demo"),
        ({"task": "ct-report", "files": ("sr",), "model": "other"}, "archive.documents"),
    ],
)
def test_a_task_that_cannot_be_done_is_refused_before_the_first_item(
    wrong: dict[str, Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError) as caught:
        ArchiveTask(**{"model": "demo", "output": tmp_path / "results", **wrong})
    assert caught.value.code == code


def test_a_task_of_another_domain_and_a_foreign_setting_are_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        archive_job(ArchiveTask("ct-findings", "demo"), "pathology")
    assert caught.value.code == "archive.task"
    with pytest.raises(PolicyError) as caught:
        archive_job(ArchiveTask("ct-findings", "demo", settings={"max_tokens": 9}), "ct")
    assert caught.value.code == "cli.domain_option"


def test_an_archive_shows_and_withholds_what_the_report_does(archive: Path, tmp_path: Path) -> None:
    """Slices on no grid are shown as acquired, and a header that names another region is believed."""
    shutil.rmtree(archive / "broken")
    folder = archive / "DOE^JANE"
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        image = pydicom.dcmread(path)
        image.BodyPartExamined = "HEAD"
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y, float(z) * (1 if number < 8 else 1.5)]
        image.save_as(path)
    assert not ct.open_volume(folder).has_grid
    manifest = _scanned(archive, "ct", tmp_path)
    job = archive_job(ArchiveTask("ct-findings", "demo", settings={"spacing_mm": 40.0}), "ct")
    shown = [job.prepare(item) for item in manifest() if not item.expected]
    assert [each.evidence.code for each in shown] == ["chest.header_other_region"]
    assert copy.deepcopy(shown[0]).sequence.content_sha256() == (shown[0].sequence.content_sha256())


def _scanned(source: Path, domain: str, tmp_path: Path) -> Manifest:
    place = tmp_path / f"private-{domain}" / "m.parquet"
    scan_archive(str(source), domain, place, secret=SiteSecret(bytes(32)))
    return Manifest(place)


def _scored(asked: ArchiveTask, manifest: Manifest, output: Path) -> list[dict[str, Any]]:
    run_local(archive_job(asked, manifest.domain()), manifest, Settings(output))
    return pq.read_table(output / "parts").to_pylist()


def test_slides_are_asked_also_two_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "slides" / "DOE^JANE"
    folder.mkdir(parents=True)
    image = slides.tissue(1024, 768)
    for series in ("1", "2"):

        def apart(dataset: Dataset, series: str = series) -> None:
            dataset.SeriesInstanceUID += f".{series}"
            dataset.SOPInstanceUID += f".{series}"

        slides.dicom(tmp_path / series, image, label=False, edit=apart)
        for file in (tmp_path / series).iterdir():
            file.rename(folder / f"{series}-{file.name}")
    manifest = _scanned(tmp_path / "slides", "pathology", tmp_path)
    output = tmp_path / "results"
    asked = ArchiveTask(
        "ask", "demo", question="What?", settings={"max_views": 2}, max_new_tokens=1,
        files=("json", "geojson"), output=output,
    )  # fmt: skip
    rows = _scored(asked, manifest, output)
    assert [(row["status"], row["numbers"][-1]) for row in rows] == [("done", ("views", 2.0))] * 2
    assert {stage for stage, _ in rows[0]["seconds"]} >= {"vision", "prefill", "generation"}
    for row in rows:
        answer, views = (output / name for name in row["files"])
        assert json.loads(answer.read_text())["stopped"] == "length"
        assert len(json.loads(views.read_text())["features"]) == 2
        assert "DOE" not in answer.read_text() + views.read_text()


def test_scenes_are_searched_and_shown_and_what_is_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    rasters.tiled(tmp_path / "scenes" / "harbour.tif", width=400, height=300)
    rasters.all_nodata(tmp_path / "scenes" / "empty.tif")
    manifest = _scanned(tmp_path / "scenes", "remote_sensing", tmp_path)
    output = tmp_path / "results"
    sheets = _scored(ArchiveTask("views", None, output=output), manifest, output / "views")
    assert sorted(row["status"] for row in sheets) == ["done", "refused"]
    found = _scored(
        ArchiveTask("find", "demo", question="ship", output=output), manifest, output / "found"
    )
    done = next(row for row in found if row["status"] == "done")
    assert dict(done["numbers"])["chips"] >= 1
    places = [output / name for name in done["files"]]
    assert [place.name for place in places] == [
        "detections.footprints.geojson",
        "detections.geojson",
    ]
    assert all(place.exists() for place in places)
    assert not list(output.rglob("answers.jsonl"))


def test_a_dry_run_says_what_decides_and_records_nothing(archive: Path, tmp_path: Path) -> None:
    manifest = _scanned(archive, "ct", tmp_path)
    output = tmp_path / "results"
    asked = ArchiveTask("views", None, settings={"spacing_mm": 20.0}, output=output)
    plan = plan_run(asked, manifest, "ct", sample=2, deadline_hours=12)
    assert set(plan.prediction.stage_seconds) == {"disk", "decoding", "score", "drawing"}
    assert (plan.prediction.outcomes, plan.in_time) == ({"done": 0.5, "refused": 0.5}, {})
    assert not (output / "parts").exists()


def test_documents_lie_outside_the_results_and_name_the_patient_there_alone(
    archive: Path, tmp_path: Path
) -> None:
    shutil.rmtree(archive / "broken")
    manifest = _scanned(archive, "ct", tmp_path)
    output, documents = tmp_path / "results", tmp_path / "documents"
    asked = ArchiveTask(
        "ct-report", "demo", settings={"spacing_mm": 60.0}, files=("json", "sr", "fhir"),
        output=output, documents=documents, allow_demo=True,
    )  # fmt: skip
    (row,) = _scored(asked, manifest, output)
    report, *private = ((output / name).resolve() for name in row["files"])
    assert report.is_relative_to(output)
    assert len(json.loads(report.read_text())["abnormalities"]) == 18
    assert [place.parent for place in private] == [documents] * 3
    assert all(place.stat().st_mode & 0o77 == 0 for place in private)
    study = pydicom.dcmread(private[0]).StudyInstanceUID
    assert study in private[2].read_text()
    assert not any(
        study.encode() in place.read_bytes() for place in output.rglob("*.*") if place.is_file()
    )


def test_a_source_is_scanned_first_and_sheets_need_no_model(
    archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sheets"
    show = [
        "archive",
        "run",
        str(archive),
        "--task",
        "views",
        "--output",
        str(output),
        "--every-mm",
        "40",
    ]
    show += ["--secret", str(tmp_path / "secret"), "--decoders", "0"]
    assert run(show) == 2  # which domain?
    assert run([*show, "--domain", "ct"]) == 0
    assert (tmp_path / "sheets.private" / "manifest.parquet").stat().st_mode & 0o77 == 0
    assert len(list(output.rglob("views.png"))) == 1
    assert run(["archive", "retry", str(output), "--refused"]) == 0
    assert "to be tried again: 1 item\n" in capfd.readouterr().out


def test_forgetting_a_study_deletes_its_documents_and_leaves_those_of_others(
    archive: Path, tmp_path: Path, dicom: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(archive / "broken")
    shutil.copytree(archive / "DOE^JANE", archive / "ROE^RICHARD")
    for path in (archive / "ROE^RICHARD").rglob("*.dcm"):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID = f"{dicom.ROOT}.77"
        image.SeriesInstanceUID = f"{dicom.ROOT}.77.1"
        image.SOPInstanceUID = f"{dicom.ROOT}.77.1.{image.InstanceNumber}"
        image.save_as(path)
    manifest = _scanned(archive, "ct", tmp_path)
    output, documents = tmp_path / "results", tmp_path / "documents"
    asked = ArchiveTask(
        "ct-findings", "demo", settings={"spacing_mm": 80.0}, files=("json", "sr", "fhir"),
        output=output, documents=documents, allow_demo=True,
    )  # fmt: skip
    victim, other = _scored(asked, manifest, output)
    assert len(list(documents.iterdir())) == 2 * 3
    moved = next(documents.glob(f"{victim['item_id']}*.fhir.json"))
    moved.rename(tmp_path / "sent.json")
    forget = ["archive", "forget", victim["study_key"], "--manifest", str(manifest.path)]
    forget += ["--linkage", str(manifest.path.with_name("linkage.parquet"))]
    assert run([*forget, "--results", str(output)]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "removed: 1 row of results, 2 documents" in said
    assert f"../documents/{moved.name}" in said
    assert "sent on" in said
    assert len(list(documents.iterdir())) == 3
    assert all(path.name.startswith(other["item_id"]) for path in documents.iterdir())
    for path in output.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert victim["item_id"].encode() not in content + path.name.encode(), path.name
