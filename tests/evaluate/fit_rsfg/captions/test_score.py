"""Caption files: which tokenizer made the words is said, and METEOR is absent without Java."""

import math

import pytest
from fit_rsfg_answers import numbered

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate import score
from longllava_domains.evaluate.text_overlap import coco_java

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


def captions(protocol: str, *texts: tuple[str, str]) -> dict[str, float]:
    rows = numbered({"ground_truth": truth, "answer": answer} for truth, answer in texts)
    return dict(score("fit-rsfg/image-caption", rows, protocol=protocol, tokenizer="plain").metrics)


THREE = "a ship near the dock", "two tanks beside a road", "an airplane parked on the apron"


def test_identical_captions_have_full_marks() -> None:
    for protocol in ("official", "strict"):
        found = captions(protocol, *zip(THREE, THREE, strict=True))
        assert found.pop("CIDEr") == pytest.approx(10)
        assert list(found.values()) == pytest.approx([1] * 5)


def test_one_empty_answer_of_three_equal_lengths() -> None:
    truths = "a b c d e f", "g h i j k l", "m n o p q r"
    found = captions("official", *zip(truths, (*truths[:2], ""), strict=True))
    # 12 words of 18: a brevity penalty of exp(1 - 3 / 2).
    assert [found[f"Bleu_{n}"] for n in range(1, 5)] == pytest.approx([math.exp(-0.5)] * 4)
    assert found["ROUGE_L"] == pytest.approx(2 / 3)
    assert found["CIDEr"] == pytest.approx(20 / 3)


def test_cider_of_a_single_caption_is_zero() -> None:
    assert captions("official", (THREE[0], THREE[0]))["CIDEr"] == 0.0


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
