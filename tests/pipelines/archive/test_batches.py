"""Items of an archive that a model scores together come to what they come to alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pytest
from write_tiny import write_tiny

from longllava_domains.archive import Manifest, Settings, SiteSecret, run_local, scan_archive
from longllava_domains.archive.results.schema import VARYING
from longllava_domains.pipelines.archive import ArchiveTask, archive_job
from longllava_domains.pipelines.archive.reporting import CTArchiveScorer
from longllava_domains.pipelines.cli.main import run
from longllava_domains.vision_language import LoadOptions

PHANTOM = Path(__file__).parents[3] / "examples/chest_phantom"
FLOAT32 = LoadOptions(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Three chests of different lengths, and a head."""
    root = tmp_path_factory.mktemp("archive")
    for number in range(4):
        folder = root / "archive" / f"DOE^JANE {number}"
        shutil.copytree(PHANTOM, folder)
        for slice_number, path in enumerate(sorted(folder.rglob("*.dcm"))):
            image = pydicom.dcmread(path)
            image.StudyInstanceUID = f"1.2.826.0.1.3680043.10.1561.88.{number}"
            image.SeriesInstanceUID = f"{image.StudyInstanceUID}.1"
            image.SOPInstanceUID = f"{image.StudyInstanceUID}.1.{image.InstanceNumber}"
            image.BodyPartExamined = "HEAD" if number == 3 else "CHEST"
            image.save_as(path)
            if slice_number >= 16 - 2 * number:
                path.unlink()
    place = root / "private" / "m.parquet"
    scan_archive(str(root / "archive"), "ct", place, secret=SiteSecret(bytes(32)))
    return Manifest(place)


def scored(asked: ArchiveTask, manifest: Manifest, output: Path, **how: Any) -> list[Any]:
    run_local(archive_job(asked, "ct"), manifest, Settings(output, **how))
    table = pq.read_table(output / "parts").drop_columns(list(VARYING)).sort_by("item_id")
    rows: list[Any] = table.to_pylist()
    return rows


def same_but_for_last_digits(together: list[Any], alone: list[Any]) -> None:
    assert [row["status"] for row in together] == ["done"] * len(alone)
    for ours, single in zip(together, alone, strict=True):
        found, wanted = ours.pop("findings"), single.pop("findings")
        assert ours == single
        assert [each["label"] for each in found] == [each["label"] for each in wanted]
        assert [each["yes_logit_margin"] for each in found] == pytest.approx(
            [each["yes_logit_margin"] for each in wanted], abs=1e-4
        )


@pytest.mark.parametrize("task", ["ct-findings", "ct-report", "ask"])
def test_a_batch_gives_the_results_of_single_items(
    task: str, model: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if task == "ct-report":  # a draft of its whole length shows no more, and takes most of a minute
        monkeypatch.setattr(CTArchiveScorer, "_longest", lambda scorer: 12)
    asked = ArchiveTask(
        task, model, FLOAT32, question="What is seen?" if task == "ask" else "",
        settings={"spacing_mm": 60.0}, max_new_tokens=6,
    )  # fmt: skip
    alone = scored(asked, manifest, tmp_path / "alone")
    together = scored(asked, manifest, tmp_path / "together", batch_items=3)
    lengths = {len(row["findings"]) for row in alone}
    assert lengths == ({0} if task == "ask" else {0, 18})  # nothing is said of the head
    same_but_for_last_digits(together, alone)


def test_a_run_of_single_items_is_finished_in_batches(
    model: str, manifest: Manifest, tmp_path: Path
) -> None:
    asked = ArchiveTask("ct-findings", model, FLOAT32, settings={"spacing_mm": 60.0})
    alone = scored(asked, manifest, tmp_path / "alone")
    output = tmp_path / "resumed"
    part = scored(asked, lambda: iter([next(manifest())]), output)  # type: ignore[arg-type]
    assert len(part) == 1
    same_but_for_last_digits(scored(asked, manifest, output, batch_items=3), alone)


def test_files_of_items_are_written_in_a_batch(
    model: str, manifest: Manifest, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    asked = ArchiveTask(
        "ct-findings", model, FLOAT32, settings={"spacing_mm": 60.0}, files=("json",), output=output
    )
    rows = scored(asked, manifest, output, batch_items=4)
    for row in rows:
        (name,) = row["files"]
        report = json.loads((output / name).read_text())
        assert len(report["abnormalities"]) == len(row["findings"])
    times = pq.read_table(output / "parts")["seconds"].to_pylist()
    assert {stage for stage, _ in times[0]} >= {"vision", "prefill", "findings", "generation"}


def test_tasks_without_batches_are_refused_before_a_scan(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    show = ["archive", "run", str(PHANTOM), "--task", "views", "--output", str(tmp_path / "sheets")]
    assert run([*show, "--domain", "ct", "--batch-items", "2"]) == 2
    assert "--batch-items" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
