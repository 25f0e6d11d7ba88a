"""LLaVA-Med v1: words in common for open questions, part of the text for closed ones."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from longllava_domains.evaluate.medical_vqa.judging import Judgement
from longllava_domains.evaluate.medical_vqa.questions import Question
from longllava_domains.evaluate.text_overlap.bleu import nltk_bleu

# The colon and the apostrophe are not among them.
_MARKS: Final = ';/[]"{}()=+\\_-><@`,?!'
_DIGITS_WITH_COMMA: Final = re.compile(r"\d,\d")
_PERIOD: Final = re.compile(r"\.(?!\d)")
# The original passes a flag where the number of replacements belongs; the flag's value is 32.
_PERIODS_REMOVED: Final = 32
_NUMBERS: Final = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
_ARTICLES: Final = frozenset(("a", "an", "the"))

# Endings of contractions, and the words that carry them.
_CONTRACTED: Final = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "n't've": "could had might should would",
    "'ve": "could might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'d've": "he it she somebody someone something there they we who you",
    "'s": "he how somebody someone that there what when where who why",
    "'ll": "how it somebody someone something they what who why you",
    "'re": "there they what why you",
    "": "ma'am o'clock 'twas y'all y'all'll y'all'd've 'ow's'at",
}


def _without_one_apostrophe() -> dict[str, str]:
    """Map each contraction that lost one of its apostrophes to the whole one."""
    whole = [word + ending for ending, words in _CONTRACTED.items() for word in words.split()]
    return {
        word[:place] + word[place + 1 :]: word
        for word in whole
        for place, letter in enumerate(word)
        if letter == "'"
    } | {"somebody'd": "somebodyd"}  # the other way round in the original


_CONTRACTIONS: Final = _without_one_apostrophe()


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """Return a text as the official scorer compares it.

    A mark becomes a space, or nothing if it touches a space anywhere in the text or if digits
    stand around a comma anywhere; periods before anything but a digit go; numbers to ten become
    digits, articles go, contractions get their apostrophe back.
    """
    has_number = _DIGITS_WITH_COMMA.search(text) is not None
    changed = text
    for mark in _MARKS:
        touches = f"{mark} " in text or f" {mark}" in text
        changed = changed.replace(mark, "" if touches or has_number else " ")
    changed = _PERIOD.sub("", changed, count=_PERIODS_REMOVED)
    words = (_NUMBERS.get(word, word) for word in changed.lower().split())
    kept = [_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES]
    return " ".join(kept).replace(",", "")


@dataclass(frozen=True)
class Overlap:
    """Words in common of an answer and its reference, from 0 to 1.

    Attributes:
        recall: LLaVA-Med's score of open questions.
        precision: Share of the answer's words.
        f1: Harmonic mean.
        exact_match: Different words of the reference that were said, over words said.
    """

    recall: float
    precision: float
    f1: float
    exact_match: float


def overlap(answer: str, reference: str) -> Overlap:
    """Compare bags of words as the official scorer does.

    A shared word counts as often as the *answer* says it, in recall too.

    Args:
        answer: Normalised once; it is normalised again here, as in the original.
        reference: Likewise.
    """
    said, there = (Counter(normalise(text).lower().split()) for text in (answer, reference))
    exact = sum(word in said for word in there) / said.total() if said else 0.0
    tp = sum(count for word, count in said.items() if word in there)
    if not tp:
        return Overlap(0.0, 0.0, 0.0, exact)
    missed = sum(count for word, count in there.items() if word not in said)
    precision, recall = tp / said.total(), tp / (tp + missed)
    return Overlap(recall, precision, 2 * precision * recall / (precision + recall), exact)


_BLEU: Final = {
    "open/bleu": (0.25, 0.25, 0.25, 0.25),
    "open/bleu_1": (1.0, 0.0, 0.0, 0.0),
    "open/bleu_2": (0.0, 1.0, 0.0, 0.0),
    "open/bleu_3": (0.0, 0.0, 1.0, 0.0),
}


def judge_open(question: Question, candidates: Sequence[str]) -> Judgement:
    """Judge an open question by token recall, and the scores printed beside it."""
    answer = normalise((question.answer or "").lower())
    truth = normalise(question.truth.lower())
    found = overlap(answer, truth)
    scores = {
        "open/recall": found.recall,
        "open/precision": found.precision,
        "open/f1": found.f1,
        "open/exact_match": found.exact_match,
    }
    words, others = answer.split(), truth.split()
    scores |= zip(_BLEU, nltk_bleu(words, others, tuple(_BLEU.values())), strict=True)
    if candidates:
        scores["open/accuracy"] = float(_nearest(answer, candidates) == normalise(truth))
    return Judgement(scores, f"{found.recall:.2f} of the reference's words were said", answer)


def judge_closed(question: Question, *, answered_only: bool) -> Judgement:
    """Judge a closed question: the truth must be a part of an answer that has yes or no in it.

    Args:
        question: With any truth; one without yes or no can be right by accident only.
        answered_only: Leave wrong answers with yes or no out of the denominator, as the scorer did
            until December 2023 and as its PathVQA driver still does.
    """
    answer = normalise((question.answer or "").lower())
    truth = normalise(question.truth.lower())
    decided = "yes" in answer or "no" in answer
    hit = decided and truth in answer
    if not decided:
        why = "neither yes nor no stands in the answer"
    else:
        why = "the truth is a part of the answer" if hit else "the truth is no part of the answer"
    counted = hit or not decided
    scores = {} if answered_only and not counted else {"closed/accuracy": float(hit)}
    scores["closed/accuracy_all"] = float(hit)
    if counted:
        scores["closed/accuracy_answered"] = float(hit)
    return Judgement(scores, why, answer)


def _nearest(answer: str, candidates: Sequence[str]) -> str:
    """Return the first candidate with the largest share of its words in the answer."""
    said = set(normalise(answer).split())
    shares = []
    for candidate in candidates:
        words = set(normalise(candidate).lower().split())
        shares.append(len(words & said) / len(words) if words else 0.0)
    return normalise(candidates[shares.index(max(shares))])
