"""Generated reports against written ones: cleaning, layouts, labels, collapse and the judge."""

import csv
import json
import re
import sys
from io import StringIO
from pathlib import Path
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from medical_golden import golden, needs_golden

from longllava_domains import evaluate
from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.reports.green import green_score, read_green

WRITTEN = {
    "valid_1_a_1": "No pleural effusion is seen. A nodule in the left lung.",
    "valid_2_a_1": "Consolidation in the right lower lobe. Emphysema.",
    "valid_3_a_1": "The heart is enlarged. Pleural effusion on both sides.",
}
GENERATED = {
    "valid_1_a_1": "No pleural effusion is seen.",
    "valid_2_a_1": "Consolidation in the left lower lobe.",
    "valid_3_a_1": "No pleural effusion is seen.",
}


def rows(texts: dict[str, str]) -> list[dict[str, str]]:
    return [{"input_image_name": f"{name}.nii.gz", "report": text} for name, text in texts.items()]


def score(generated: Any = None, written: Any = None, **settings: Any) -> Any:
    return evaluate.score(
        "ct-rate/reports",
        rows(GENERATED) if generated is None else generated,
        rows(WRITTEN) if written is None else written,
        protocol="vlm3d",
        **settings,
    )


def labeller(reports) -> list[dict[str, float]]:
    return [
        {label: 0.9 * (label.lower() in text.lower() and f"no {label.lower()}" not in text.lower())
         for label in CT_RATE_LABELS}
        for text in reports
    ]  # fmt: skip


def test_equal_reports_have_full_marks_and_none_are_alike() -> None:
    found = score(rows(WRITTEN)).metrics
    for name in ("bleu_1", "bleu_4", "bleu_mean", "rouge_l", "collapse/distinct"):
        assert found[name] == pytest.approx(1.0), name
    assert found["cider"] == pytest.approx(10.0)


def test_what_the_challenge_cleans_away_costs_nothing() -> None:
    dirty = {name: f'"{text[:-1]} ."<|eot_id|>_\n' for name, text in WRITTEN.items()}
    assert score(rows(dirty)).metrics["bleu_4"] == pytest.approx(1.0)
    parted = {name: text.replace(". ", " . ") for name, text in WRITTEN.items()}
    # " . " becomes "." and glues two sentences together; only one side was written so.
    assert score(rows(parted)).metrics["bleu_4"] < 0.9


@pytest.mark.parametrize("shape", ["submission", "ground truth", "table"])
def test_every_published_layout_is_read(tmp_path: Path, shape: str) -> None:
    generated: Any = None
    path = tmp_path / "reports.json"
    if shape == "submission":
        generated = path
        path.write_text(
            json.dumps([{"outputs": [{"value": {"generated_reports": rows(GENERATED)}}]}])
        )
        found = score(generated)
    elif shape == "ground truth":
        head = {"name": "x", "type": "y", "version": {"major": 1, "minor": 0}}
        path.write_text(json.dumps({**head, "generated_reports": rows(WRITTEN)}))
        found = score(written=path)
    else:
        path = tmp_path / "validation_reports.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["VolumeName", "Findings_EN", "Impressions_EN"])
            writer.writerows(
                [f"{name}.nii.gz", text, "Not given."] for name, text in WRITTEN.items()
            )
        found = score(written=path)
        assert score(written=path, section="both").metrics == found.metrics
    assert found.metrics == score().metrics


def test_a_template_is_seen_as_one() -> None:
    found = score().metrics
    assert found["collapse/distinct"] == pytest.approx(2 / 3)
    assert found["collapse/most_common"] == pytest.approx(2 / 3)


def test_labels_are_read_by_the_labeller_that_was_plugged_in() -> None:
    found = score(labeller=labeller)
    # Written: consolidation, emphysema, effusion; said: consolidation alone.
    assert found.metrics["labels/micro/recall"] == pytest.approx(1 / 3)
    assert found.metrics["labels/micro/precision"] == 1
    assert 0 < found.metrics["labels/crg"] < 1
    assert found.metrics["collapse/recall_rare"] in (0.0, 1.0)
    given = [
        {"VolumeName": f"{name}.nii.gz", **labels}
        for name, labels in zip(WRITTEN, [
            {label: int(score >= 0.5) for label, score in row.items()} for row in labeller(WRITTEN.values())
        ], strict=True)
    ]  # fmt: skip
    assert score(labeller=labeller, reference_labels=given).metrics == found.metrics


def test_without_a_labeller_there_are_no_label_scores_and_the_card_says_so() -> None:
    found = score()
    assert not any(name.startswith("labels/") for name in found.metrics)
    assert any("no labeller" in note for note in found.notes)
    assert any("METEOR is absent" in note for note in found.notes)
    with pytest.raises(PolicyError):
        score(reference_labels=[{}])


def test_a_labeller_that_leaves_something_out_is_refused() -> None:
    with pytest.raises(InputError):
        score(labeller=lambda reports: labeller(reports)[1:])
    with pytest.raises(InputError):
        score(labeller=lambda reports: [{} for _ in reports])


def test_missing_reports_are_not_ignored_as_the_challenge_does() -> None:
    with pytest.raises(PolicyError):
        score(rows(GENERATED)[1:])
    dropped = score(rows(WRITTEN)[1:], missing="drop")
    wrong = score(rows(WRITTEN)[1:], missing="wrong")
    assert dropped.metrics["bleu_1"] == pytest.approx(1)
    assert wrong.metrics["bleu_1"] < 1
    with pytest.raises(PolicyError):
        score(section="everything")


JUDGED = """[Explanation]:
Two findings agree.

[Clinically Significant Errors]:
(a) False report of a finding: 1. A nodule.
(b) Missing a finding: 2. Effusion; atelectasis.

[Matched Findings]:
3. Heart size; aorta; trachea.
"""


def test_a_judges_text_is_read_as_the_original_reads_it() -> None:
    found = read_green(JUDGED)
    assert (found.matched, found.errors, found.failures) == (3, 3, ())
    assert found.score == 0.5


def test_unreadable_sections_are_counted_where_the_original_scores_on() -> None:
    without = read_green("[Matched Findings]:\n2. Heart; aorta.")
    assert (without.score, without.failures) == (1.0, ("significant errors",))
    no_period = read_green(JUDGED.replace("2. Effusion", "2 effusions").replace("1. A", "1 a"))
    assert (no_period.errors, no_period.failures) == (0, ("significant errors",))
    assert read_green("").score == 0
    assert len(read_green("").failures) == 2


@needs_golden
def test_greens_scores_equal_the_official_ones() -> None:
    case = golden("green")
    for matched, errors, expected in case["matched_errors_score"]:
        assert green_score(matched, errors) == pytest.approx(expected)
    assert (
        read_green("[Matched Findings]:\n1. x").score == case["missing_error_section_with_matches"]
    )
    assert read_green("").score == case["no_sections"]


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(PolicyError) as unknown:
        score(tokenizer="nltk")
    assert unknown.value.code == "reports.tokenizer"


@pytest.mark.parametrize("asked", [{"meteor": True}, {"tokenizer": "ptb"}])
def test_asking_for_java_without_it_is_refused(monkeypatch: pytest.MonkeyPatch, asked) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PolicyError) as caught:
        score(**asked)
    assert caught.value.code == "evaluate.coco_tools"


class FakeMeteor:
    def __init__(self) -> None:
        self.lock = Lock()
        self.meteor_p = SimpleNamespace(stdout=StringIO(), stderr=StringIO())

    def compute_score(self, written: dict, generated: dict) -> tuple[float, list[float]]:
        scores = [float(written[k] == generated[k]) for k in written]
        return sum(scores) / len(scores), scores


class FakeTokenizer:
    def tokenize(self, captions: dict) -> dict:
        # As Java's program: one line for each caption, so a stray line break shifts all others.
        lines = "\n".join(each[0]["caption"] for each in captions.values())
        words = [line.lower().replace(".", "") for line in re.split(r"[\r\n]", lines)]
        return {number: [text] for number, text in zip(captions, words, strict=False)}


def test_the_users_pycocoevalcap_is_called_with_one_reference_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Neither Java nor the package is a dependency, so only the call is tested here.
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/java")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    for path, name, fake in (
        ("pycocoevalcap.meteor.meteor", "Meteor", FakeMeteor),
        ("pycocoevalcap.tokenizer.ptbtokenizer", "PTBTokenizer", FakeTokenizer),
    ):
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            full = ".".join(parts[:end])
            module = sys.modules.get(full) or ModuleType(full)
            module.__path__ = []  # a package, so that what lies in it can be imported
            monkeypatch.setitem(sys.modules, full, module)
        setattr(sys.modules[path], name, fake)
    broken = {name: text.replace(" the ", "\rthe ") for name, text in WRITTEN.items()}
    found = score(rows(broken), meteor=True, tokenizer="ptb")
    assert found.metrics["meteor"] == 1.0
    assert not any("METEOR is absent" in note for note in found.notes)
