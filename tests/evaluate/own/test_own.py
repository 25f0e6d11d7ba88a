"""A site's own labels: figures against plain counting, subgroups, and what is too small to show."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longllava_domains.archive import FindingScore, Item, Outcome, Scored, ScoringSpec
from longllava_domains.archive.results.schema import row_of, table_of
from longllava_domains.errors import AmbiguousInputError, DamagedInputError, InputError, PolicyError
from longllava_domains.evaluate.own import save_own_card, score_own
from longllava_domains.evaluate.roc import auroc
from longllava_domains.pipelines.cli.main import run

LABEL = "Lung nodule"


def site(count: int = 200, seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A table of labels and a table of probabilities; the model is worse on women."""
    rng = np.random.default_rng(seed)
    labels, scores = [], []
    for k in range(count):
        truth = int(rng.random() < 0.4)
        sex = "FM"[k % 2]
        signal = 0.5 if sex == "M" else 0.15
        labels.append({
            "VolumeName": f"scan_{k}.nii.gz", "patient": f"p{k // 2}", LABEL: truth, "Emphysema": "",
            "PatientSex": sex, "PatientAge": f"{20 + k % 70:03d}Y", "SliceThickness": "1.0" if k < 190 else "7",
            "ConvolutionKernel": "['Br40f', '3']", "contrast": "yes" if k % 3 else "",
        })  # fmt: skip
        probability = min(max(0.35 + signal * (truth - 0.4) + 0.2 * rng.standard_normal(), 0), 1)
        scores.append({"VolumeName": f"scan_{k}", "probabilities": {LABEL: probability}})
    return labels, scores


@pytest.fixture
def files(tmp_path: Path) -> tuple[list[dict[str, Any]], Path]:
    labels, scores = site()
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    return labels, tmp_path / "scores.json"


def test_figures_equal_plain_counting(files) -> None:
    labels, scores = files
    cell = score_own(labels, scores, draws=200).cells[LABEL]["all"]["all"]
    truth = np.array([row[LABEL] == 1 for row in labels])
    said = np.array([row["probabilities"][LABEL] for row in json.loads(scores.read_text())])
    assert cell.figures["sensitivity"].value == pytest.approx((said >= 0.5)[truth].mean())
    assert cell.figures["specificity"].value == pytest.approx((said < 0.5)[~truth].mean())
    assert cell.figures["auroc"].value == pytest.approx(auroc(truth, said))
    assert cell.figures["brier"].value == pytest.approx(((said - truth) ** 2).mean())
    for figure in cell.figures.values():
        assert figure.interval.low <= figure.value <= figure.interval.high or figure.value < 0.2
        assert figure.interval.low < figure.interval.high


def test_subgroups_show_where_the_model_is_worse(files) -> None:
    found = score_own(*files, draws=200).cells[LABEL]
    assert set(found) == {"all", "sex", "age", "kernel", "thickness", "contrast"}
    auc = {sex: cell.figures["auroc"].interval for sex, cell in found["sex"].items()}
    assert auc["female"].high < auc["male"].low
    assert set(found["age"]) == {"20 to 39", "40 to 59", "60 to 79", "80 and over"}
    assert set(found["kernel"]) == {"Br40f"}
    assert set(found["contrast"]) == {"with", "not known"}


def test_small_cells_are_hidden_and_cannot_be_deduced(files, tmp_path: Path) -> None:
    result = score_own(*files, draws=50)
    thickness = result.cells[LABEL]["thickness"]
    assert thickness["over 5 mm"].patients is None
    assert thickness["over 5 mm"].figures == {}
    # The only other group: with its count the hidden one would be known.
    assert thickness["up to 1.25 mm"].patients is None
    assert "sensitivity" in thickness["up to 1.25 mm"].figures
    save_own_card(result, tmp_path / "card.html")
    save_own_card(result, tmp_path / "card.md")
    page = (tmp_path / "card.html").read_text()
    assert "too few" in page
    assert "scan_1" not in page
    assert "| thickness: over 5 mm | too few | too few |" in (tmp_path / "card.md").read_text()


def test_margins_without_a_calibration_have_no_calibration_figures(tmp_path: Path) -> None:
    labels, scores = site()
    for row in scores:
        margin = row["probabilities"][LABEL] - 0.5
        content = {"provenance": {"model_sha256": "0", "demo": True},
                   "abnormalities": [{"label": LABEL, "yes_logit_margin": margin, "probability": None}]}  # fmt: skip
        (tmp_path / f"{row['VolumeName']}.json").write_text(json.dumps(content))
    found = score_own(labels, tmp_path, draws=50)
    assert set(found.cells[LABEL]["all"]["all"].figures) == {"sensitivity", "specificity", "auroc"}
    assert any("demonstration model" in note for note in found.notes)
    assert any("margin of 0" in note for note in found.notes)


def archive_results(folder: Path, scores: list[dict[str, Any]]) -> Path:
    """Write the part of an archive run; the last item was refused."""
    spec = ScoringSpec("ct-findings", "model")
    rows = []
    for k, row in enumerate(scores):
        item = Item(f"item{k}", f"key{k}", "ct", f"memory://{k}")
        if k == len(scores) - 1:
            rows.append(row_of(item, spec, Outcome("refused", "ct.tilt")))
            continue
        said = Scored(findings=(FindingScore(LABEL, 0.0, row["probabilities"][LABEL]),))
        rows.append(row_of(item, spec, Outcome("done"), said))
    place = folder / "parts" / "spec-0"
    place.mkdir(parents=True)
    pq.write_table(table_of(rows), place / "part.parquet")
    (place / "_spec.json").write_text(json.dumps({"model": "model"}))
    return folder


def test_an_archive_is_joined_by_key_or_by_study_uid_and_refusals_are_counted(
    tmp_path: Path,
) -> None:
    labels, scores = site(60)
    results = archive_results(tmp_path / "results", scores)
    by_key = [{**row, "study_key": f"key{k}"} for k, row in enumerate(labels)]
    for row in by_key:
        del row["VolumeName"]
    found = score_own(by_key, results, draws=50)
    assert found.counts["scored"] == 59
    assert found.counts["not scored: ct.tilt"] == 1
    by_uid = [{"StudyInstanceUID": f"1.2.{k}", LABEL: row[LABEL]} for k, row in enumerate(labels)]
    with pytest.raises(PolicyError, match="linkage"):
        score_own(by_uid, results)
    linkage = tmp_path / "linkage.parquet"
    pq.write_table(pa.table({"study_key": [f"key{k}" for k in range(60)],
                             "study_uid": [f"1.2.{k}" for k in range(60)]}), linkage)  # fmt: skip
    linked = score_own(by_uid, results, linkage=linkage, draws=50)
    one, other = (each.cells[LABEL]["all"]["all"] for each in (linked, found))
    assert one.figures["auroc"].value == other.figures["auroc"].value


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda rows: [*rows, rows[0]], AmbiguousInputError),
        (lambda rows: [{**row, "VolumeName": ""} for row in rows], InputError),
        (lambda rows: [{**row, "VolumeName": "other" + row["VolumeName"]} for row in rows], InputError),
        (lambda rows: [{k: v for k, v in row.items() if k != LABEL} for row in rows], InputError),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(files, change, kind) -> None:
    labels, scores = files
    with pytest.raises(kind):
        score_own(change(labels), scores)


def test_an_uncertain_label_is_no_label(files) -> None:
    labels, scores = files
    with pytest.raises(DamagedInputError):
        score_own([{**row, LABEL: 0.5} for row in labels], scores, findings=[LABEL])


def test_the_command_prints_and_writes(files, tmp_path: Path, capfd) -> None:
    labels, scores = files
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    command = ["evaluate", "own", str(tmp_path / "labels.json"), "--results", str(scores)]
    assert run([*command, "--draws", "50", "--out", str(tmp_path / "card.html")]) == 0
    out = capfd.readouterr().out
    assert "sex: female" in out
    assert "scored: 200" in out
    assert (tmp_path / "card.html").is_file()


def test_scores_without_a_column_of_ids_are_told_which_names_are_known(files) -> None:
    labels, scores = files
    rows = [{"id2": row["VolumeName"], LABEL: 0.5} for row in json.loads(scores.read_text())]
    with pytest.raises(DamagedInputError, match="No column of the scores is known") as caught:
        score_own(labels, rows_file(scores.parent / "other.json", rows))
    assert "item_id" in caught.value.remedy
    assert caught.value.remedy.endswith("study or name.")


def rows_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_one_spec_of_several_is_chosen_by_its_key(tmp_path: Path, capfd) -> None:
    labels, scores = site(60)
    results = archive_results(tmp_path / "results", scores)
    shutil.copytree(results / "parts/spec-0", results / "parts/spec-1")
    for number, row in enumerate(labels):
        row["study_key"] = f"key{number}"
        del row["VolumeName"]
    table = rows_file(tmp_path / "labels.json", labels)
    command = ["evaluate", "own", str(table), "--results", str(results), "--draws", "20"]
    assert run(command) == 2
    message, remedy = capfd.readouterr().err.splitlines()
    assert "results of 2 models or questions, and none is chosen." in message
    assert remedy.strip() == "Choose one of them with --spec: 0, 1."
    assert run([*command, "--spec", "2"]) == 2
    assert "and none has that key." in capfd.readouterr().err
    for key in ("1", "spec-1"):
        assert run([*command, "--spec", key]) == 0
        assert "scored: 59" in capfd.readouterr().out


def test_a_spec_of_what_has_none_is_refused(files) -> None:
    with pytest.raises(PolicyError, match="no results of an archive run"):
        score_own(*files, spec="0")
