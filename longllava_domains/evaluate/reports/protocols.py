"""Scores of generated CT reports by the VLM3D challenge, and what it does not say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from longllava_domains.ct_rate_labels import CT_RATE_LABELS
from longllava_domains.errors import InputError, PolicyError
from longllava_domains.evaluate.ct_rate.protocols import CUT
from longllava_domains.evaluate.ct_rate.tables import read_labels
from longllava_domains.evaluate.multilabel import Booleans, statistics
from longllava_domains.evaluate.predictions import Matching, Source
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.reports.collapse import recall_by_prevalence, template_shares
from longllava_domains.evaluate.reports.tables import ReportPairs, baseline_reports, read_reports
from longllava_domains.evaluate.result import Cell, Result
from longllava_domains.evaluate.statistic import Statistic, defined, mean_statistic
from longllava_domains.evaluate.text_overlap import coco_java
from longllava_domains.evaluate.text_overlap.bleu import pycocoevalcap_bleu
from longllava_domains.evaluate.text_overlap.cider import pycocoevalcap_cider
from longllava_domains.evaluate.text_overlap.ngrams import count_ngrams
from longllava_domains.evaluate.text_overlap.rouge import pycocoevalcap_rouge_l

Labeller = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""From reports to the score of each label, from 0 to 1: RadBERT, a rule set, anything."""

LONGEST: Final = 4
_BLEU: Final = tuple(f"bleu_{size}" for size in range(1, LONGEST + 1))
TOKENIZERS: Final = ("blanks", "ptb")


def score_reports(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    section: str = "findings",
    labeller: Labeller | None = None,
    reference_labels: Source | None = None,
    tokenizer: str = "blanks",
    meteor: bool = False,
) -> Result:
    """Score reports as VLM3D does: BLEU, ROUGE-L and CIDEr of cleaned texts, and labels.

    The challenge scores only the volumes that both sides have; here a missing report needs a
    policy.

    Args:
        predictions: Generated reports.
        references: Written reports.
        protocol: Name and version.
        how: Choices about missing reports.
        section: Of CT-RATE's table: ``"findings"``, ``"impression"`` or ``"both"``.
        labeller: Reads labels from a report; called positive from 0.5 on. Without one there are
            no label scores.
        reference_labels: The label file, by default what the labeller reads in written reports.
        tokenizer: ``"blanks"`` as the challenge, or ``"ptb"`` of pycocoevalcap, which needs Java.
        meteor: Compute METEOR, which needs pycocoevalcap and Java as well.

    Raises:
        InputError: The labeller leaves a report or a label out.
        PolicyError: An unknown tokenizer, or Java is asked for and not installed.
    """
    pairs = read_reports(predictions, references, how, section)
    found, notes = _text_statistics(pairs, tokenizer, meteor=meteor), []
    if not meteor:
        notes.append("METEOR is absent: it was not asked for, and needs pycocoevalcap and Java")
    metrics = {name: statistic.value for name, statistic in found.items()}
    metrics["bleu_mean"] = float(np.mean([metrics[name] for name in _BLEU]))
    metrics |= template_shares(pairs.generated)
    headline = [*_BLEU, "bleu_mean", "rouge_l", "cider"]
    of_labels, extra, absent = _label_statistics(labeller, pairs, reference_labels)
    found |= of_labels
    metrics |= {name: statistic.value for name, statistic in of_labels.items()} | extra
    headline += [name for name in ("labels/macro/f1", "labels/crg") if name in metrics]
    patients = pairs.patients()
    return Result(
        benchmark=protocol.benchmark,
        protocol=protocol.label,
        metrics=metrics,
        headline=tuple(headline),
        counts=pairs.counts,
        rows=_rows(pairs, patients),
        statistics=found,
        cluster=None if patients is None else "patient",
        notes=(*pairs.notes, *notes, *absent),
    )


def _rows(pairs: ReportPairs, patients: Sequence[str] | None) -> list[dict[str, Cell]]:
    return [
        {
            "id": name,
            "patient": None if patients is None else patients[index],
            "generated": pairs.generated[index],
            "written": pairs.written[index],
        }
        for index, name in enumerate(pairs.names)
    ]


def _label_statistics(
    labeller: Labeller | None, pairs: ReportPairs, reference_labels: Source | None
) -> tuple[dict[str, Statistic], dict[str, float], tuple[str, ...]]:
    """Return the statistics of the labels, recall by prevalence, and a note if there are none."""
    if labeller is None:
        if reference_labels is not None:
            raise PolicyError(
                "Labels of the references say nothing without a labeller for the reports.",
                remedy="Pass labeller=, a function from reports to the scores of their labels.",
                code="reports.labeller",
            )
        return {}, {}, ("no label scores: no labeller was given",)
    called = _labels_of(labeller, pairs.generated)
    truth = _true_labels(labeller, pairs, reference_labels)
    found = {
        f"labels/{name}": statistic
        for name, statistic in statistics(truth, called, CT_RATE_LABELS).items()
    }
    return found, recall_by_prevalence(truth, called), ()


def _text_statistics(pairs: ReportPairs, tokenizer: str, *, meteor: bool) -> dict[str, Statistic]:
    """Scores of words in common, of texts cleaned as the challenge cleans them."""
    if tokenizer not in TOKENIZERS:
        raise PolicyError(
            f"tokenizer cannot be {tokenizer!r}.",
            remedy=f"Choose one of {', '.join(TOKENIZERS)}.",
            code="reports.tokenizer",
        )
    written = [_clean(text) for text in pairs.written]
    generated = [_clean_generated(text) for text in pairs.generated]
    if tokenizer == "ptb":
        generated, written = (coco_java.ptb_tokens(texts) for texts in (generated, written))
    words, others = ([text.split() for text in texts] for texts in (generated, written))
    counts = count_ngrams(words, others, LONGEST)
    lengths, other_lengths = (
        np.array([len(text) for text in texts], np.float64) for texts in (words, others)
    )
    found = {
        f"bleu_{size}": bleu
        for size, bleu in enumerate(pycocoevalcap_bleu(counts, lengths, other_lengths), 1)
    }
    rouge = [pycocoevalcap_rouge_l(*texts) for texts in zip(generated, written, strict=True)]
    found["rouge_l"] = mean_statistic(rouge)
    found["cider"] = mean_statistic(pycocoevalcap_cider(counts, len(words)))
    if meteor:
        found["meteor"] = mean_statistic(coco_java.meteor(generated, written)[1])
    return defined(found.items())


def _clean(text: str) -> str:
    return text.replace("\n", "").replace(" . ", ".").replace(" .", ".")


def _clean_generated(text: str) -> str:
    plain = text.replace("\n", "")
    for mark in ("<|eot_id|>", '"', "_"):
        plain = plain.replace(mark, "")
    return plain.replace(" . ", ".").replace(" .", ".")


def _labels_of(labeller: Labeller, reports: Sequence[str]) -> Booleans:
    scores = labeller(reports)
    if len(scores) != len(reports) or not all(
        label in row for row in scores for label in CT_RATE_LABELS
    ):
        raise InputError(
            "The labeller leaves out a report or one of the 18 labels.",
            remedy="Return a score for each label of CT_RATE_LABELS and each report, in order.",
            code="reports.labels",
        )
    return np.array([[row[label] >= CUT for label in CT_RATE_LABELS] for row in scores], bool)


def _true_labels(
    labeller: Labeller, pairs: ReportPairs, reference_labels: Source | None
) -> Booleans:
    if reference_labels is None:
        return _labels_of(labeller, pairs.written)
    asked = [{"VolumeName": name, **dict.fromkeys(CT_RATE_LABELS, 0)} for name in pairs.names]
    table = read_labels(reference_labels, asked, Matching())
    return table.scores >= CUT


_PROMPTS: Final = {"report": "Write the findings of this CT scan."}

PROTOCOLS: Final = (
    Protocol(
        "ct-rate/reports",
        "vlm3d",
        "25f9c7bd",
        "BLEU, ROUGE-L, CIDEr, label F1 and CRG (VLM3D challenge); written directly",
        score_reports,
        _PROMPTS,
        baselines=baseline_reports,
    ),
    Protocol(
        "ct-rate/reports",
        "findings-first",
        "1",
        "as vlm3d; written for the findings that a calibration calls present (ours)",
        score_reports,
        _PROMPTS,
        baselines=baseline_reports,
        findings_first=True,
    ),
)
