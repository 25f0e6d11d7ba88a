"""Slips in commands about an archive: nothing is dropped in silence, and every way out can be typed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from longllava_domains.archive import Manifest
from longllava_domains.pipelines.cli.main import run

PHANTOM = Path(__file__).parents[3] / "examples/chest_phantom"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest in private/, and results of it in results/."""
    folder = tmp_path_factory.mktemp("site")
    private = folder / "private"
    scan = ["archive", "scan", str(PHANTOM), "--domain", "ct", "-o", str(private / "m.parquet")]
    assert run([*scan, "--secret", str(private / "secret")]) == 0
    assert run(show(folder, folder / "results")) == 0
    return folder


def show(site: Path, output: Path, *more: str) -> list[str]:
    task = ["--task", "views", "--every-mm", "100", "--output", str(output)]
    return ["archive", "run", str(site / "private/m.parquet"), *task, *more]


def refused(arguments: list[str], capfd: Any) -> str:
    capfd.readouterr()
    assert run(arguments) == 2
    return str(capfd.readouterr().err)


def test_options_of_a_scan_beside_a_manifest_are_refused(site: Path, capfd: Any) -> None:
    told = refused(show(site, site / "again", "--domain", "pathology"), capfd)
    assert "is a manifest already" in told
    assert not (site / "again").exists()


def test_results_among_the_results_of_another_run_are_refused(site: Path, capfd: Any) -> None:
    told = refused(show(site, site / "results/items"), capfd)
    assert "--output: " in told
    assert "among the results of another run" in told


def test_the_keys_of_what_was_asked_are_listed(site: Path, capfd: Any) -> None:
    told = refused(["archive", "report", str(site / "results"), "--spec", "foo"], capfd)
    key = told.rpartition(": ")[2].strip().rstrip(".")
    assert run(["archive", "report", str(site / "results"), "--spec", key]) == 0


def test_forgetting_without_results_says_that_they_stay(
    site: Path, tmp_path: Path, capfd: Any
) -> None:
    copied = Path(shutil.copytree(site, tmp_path / "copied"))
    place = copied / "private/m.parquet"
    key = next(Manifest(place)()).study_key
    forget = ["archive", "forget", key, "--manifest", str(place)]
    forget += ["--linkage", str(copied / "private/linkage.parquet")]
    told = refused([*forget, "--ledger", str(copied / "results/ledger")], capfd)
    assert "--ledger would change nothing without --results" in told
    assert run(forget) == 0
    assert "with --results FOLDER" in capfd.readouterr().out
    assert run([*forget, "--results", str(copied / "results")]) == 0
    assert "removed: 1 row of results" in capfd.readouterr().out


def test_a_ledger_that_is_not_there_is_refused(site: Path, tmp_path: Path, capfd: Any) -> None:
    typo = tmp_path / "typo"
    told = refused(["archive", "retry", str(site / "results"), "--ledger", str(typo)], capfd)
    assert "no folder of a ledger" in told
    assert not typo.exists()


def test_a_folder_that_keeps_other_settings_and_an_empty_share_are_told(
    site: Path, tmp_path: Path, capfd: Any
) -> None:
    copied = Path(shutil.copytree(site, tmp_path / "copied"))
    run_on = show(copied, copied / "results")
    capfd.readouterr()
    assert run(run_on) == 0
    assert "with other settings" not in capfd.readouterr().err
    run_on[run_on.index("100")] = "150"
    assert run(run_on) == 0
    assert "also keeps what 1 run with other settings found" in capfd.readouterr().err
    shares = [show(copied, copied / f"share{n}", "--shard", f"{n}/2") for n in (1, 2)]
    told = []
    for share in shares:
        assert run(share) == 0
        told.append("of 2 holds none of the items" in capfd.readouterr().err)
    assert sorted(told) == [False, True]
