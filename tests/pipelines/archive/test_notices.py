"""An archive's answers carry the notices that a single answer carries."""

import json
from pathlib import Path

import pytest

from longllava_domains.pipelines.archive import ArchiveTask
from longllava_domains.pipelines.archive.notices import evidence_notices, notices_of
from longllava_domains.pipelines.cli.main import run
from longllava_domains.pipelines.evidence_notice import NO_EVIDENCE

PHANTOM = str(Path(__file__).parents[3] / "examples/chest_phantom")


def test_geojson_of_answers_is_refused_where_none_is_written(
    tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    command = ["archive", "run", PHANTOM, "--domain", "ct", "--task", "ask", "--question", "What?"]
    assert run([*command, "--model", "demo", "--files", "geojson", "--output", "results"]) == 2
    assert "for slides alone" in capfd.readouterr().err


def test_a_run_says_that_nothing_is_published_of_its_model_and_so_does_each_answer(
    tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    command = ["archive", "run", PHANTOM, "--domain", "ct", "--task", "ask", "--question", "What?"]
    few = ["--every-mm", "100", "--max-new-tokens", "1", "--files", "json", "--model", "demo"]
    assert run([*command, *few, "--output", "results"]) == 0
    told = capfd.readouterr().err
    assert f"[{NO_EVIDENCE}]" in told
    assert "written: results.private/manifest.parquet" in told
    (answer,) = tmp_path.glob("results/items/**/*answer.json")
    notices = json.loads(answer.read_text())["provenance"]["notices"]
    assert NO_EVIDENCE in notices


@pytest.mark.parametrize("domain", ["ct", "pathology", "remote_sensing"])
def test_no_evidence_is_said_in_every_domain_that_a_card_does_not_name(domain: str) -> None:
    assert NO_EVIDENCE in evidence_notices({"model": "demo"}, domain, "ct-default@1")


@pytest.mark.parametrize("domain", ["pathology", "remote_sensing"])
def test_a_card_that_names_the_domain_is_taken_at_its_word(domain: str) -> None:
    assert evidence_notices({"trained_domains": [domain]}, domain, "ct-default@1") == ()


def test_a_run_without_a_model_has_nothing_to_say(tmp_path: Path) -> None:
    assert notices_of(ArchiveTask("views", None, output=tmp_path), "ct") == ()
