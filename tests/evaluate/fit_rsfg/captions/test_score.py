"""Caption files: which tokenizer made the words is said, and METEOR is absent without Java."""

import pytest
from fit_rsfg_answers import numbered

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate import score
from longllava_domains.evaluate.fit_rsfg.captions import coco_java

ROWS = numbered(
    [
        {"ground_truth": "A ship near the dock.", "answer": "a ship near the dock"},
        {"ground_truth": "Two tanks beside a road.", "answer": ""},
        {"ground_truth": "An airplane on the apron.", "answer": "An airplane, on the apron\r\n."},
    ]
)


def test_the_plain_tokenizer_is_named_and_meteor_is_absent() -> None:
    found = score("fit-rsfg/region-caption", ROWS, protocol="official", tokenizer="plain")
    assert found.settings["tokenizer"] == "plain"
    assert any("METEOR is absent" in note for note in found.notes)
    assert "METEOR" not in found.metrics
    assert found.metrics["ROUGE_L"] == pytest.approx(2 / 3)
    assert found.metrics["CIDEr"] == pytest.approx(20 / 3)
    assert [row["reason"] for row in found.rows] == ["", "the answer holds no word", ""]


def test_without_java_the_official_tokenizer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_java.shutil, "which", lambda _: None)
    with pytest.raises(PolicyError) as caught:
        score("fit-rsfg/image-caption", ROWS, protocol="official", tokenizer="ptb")
    assert caught.value.code == "evaluate.coco_tools"
    found = score("fit-rsfg/image-caption", ROWS, protocol="official")
    assert found.settings["tokenizer"] == "plain"


def test_another_tokenizer_does_not_exist() -> None:
    with pytest.raises(PolicyError) as caught:
        score("fit-rsfg/image-caption", ROWS, protocol="strict", tokenizer="bpe")
    assert caught.value.code == "evaluate.tokenizer"


@pytest.mark.skipif(coco_java.absent_tool() is not None, reason=str(coco_java.absent_tool()))
def test_the_official_tokenizer_and_meteor_where_they_are_installed() -> None:
    found = score("fit-rsfg/image-caption", ROWS, protocol="official")
    assert found.settings["tokenizer"] == "ptb"
    assert found.metrics["METEOR"] == pytest.approx(0.6, abs=0.1)
    plain = score("fit-rsfg/image-caption", ROWS, protocol="official", tokenizer="plain")
    assert {**found.metrics, "METEOR": 0} == pytest.approx({**plain.metrics, "METEOR": 0})
