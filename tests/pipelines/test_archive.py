"""An archive is scanned, scored with the demonstration model, interrupted, resumed and reported."""

import shutil
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from longllava_domains.errors import PolicyError
from longllava_domains.pipelines.archive import CTTask, archive_job
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


def test_specs_tell_tasks_models_and_spacings_apart() -> None:
    keys = {
        archive_job(CTTask(task, "demo", LoadOptions(), spacing_mm=spacing)).spec.key
        for task in ("ct-findings", "ct-report")
        for spacing in (None, 5.0)
    }
    assert len(keys) == 4
    with pytest.raises(PolicyError):
        archive_job(CTTask("ct-poem", "demo", LoadOptions()))  # type: ignore[arg-type]
