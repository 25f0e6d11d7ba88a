"""Answers compared as they stand: equality, and the first yes or no."""

import re
import string
from typing import Final

from longllava_domains.evaluate.medical_vqa.choices import (
    lmms_eval_option,
    true_letter,
    vlmevalkit_option,
)
from longllava_domains.evaluate.medical_vqa.judging import Judgement
from longllava_domains.evaluate.medical_vqa.questions import Question, is_yes_no

_YES_OR_NO: Final = re.compile(r"\b(yes|no)\b")
_BRACKETED: Final = re.compile(r"\([^)]*\)")
_NOT_WORDS: Final = str.maketrans(dict.fromkeys(string.punctuation, " "))
_ALIASES: Final = {
    "x ray": "xray", "yeah": "yes", "yep": "yes", "true": "yes", "nope": "no", "false": "no",
}  # fmt: skip


def judge_strict(question: Question) -> Judgement:
    """Ask for the true answer and nothing else; case, blanks and a last period do not count."""
    said, truth = (_trimmed(text) for text in (question.answer or "", question.truth))
    return _equal(question, said, truth)


def judge_first_yes_no(question: Question) -> Judgement:
    """Take the first word yes or no of an answer to a closed question."""
    if not question.closed:
        return Judgement({}, "open questions are not scored")
    found = _YES_OR_NO.search((question.answer or "").lower())
    if found is None:
        return Judgement({"closed/accuracy": 0.0}, "no word yes or no in the answer")
    right = found.group(1) == question.truth.strip().lower()
    return Judgement(
        {"closed/accuracy": float(right)}, f"the first is {found.group(1)}", found.group(1)
    )


def judge_vila_m3(question: Question) -> Judgement:
    """Compare closed questions by equality, in lower case and without blanks around."""
    if not question.closed:
        return Judgement({}, "open questions are not scored")
    said, truth = ((question.answer or "").strip().lower(), question.truth.strip().lower())
    return Judgement({"closed/accuracy": float(said == truth)}, _sameness(said, truth), said)


def judge_vila_m3_path(question: Question) -> Judgement:
    """The same for PathVQA, where only answers yes and no are asked for."""
    if not is_yes_no(question.truth):
        return Judgement({}, "only yes and no are scored")
    return judge_vila_m3(question)


def judge_lmms_eval(question: Question) -> Judgement:
    """Compare as lmms-eval's SLAKE task does; with options, by the letter it reads.

    An answer without a letter is wrong, where the original draws one at random.
    """
    if question.options:
        return _letter(question, lmms_eval_option(question.answer or "", question.options))
    return _equal(
        question, lmms_eval_normalise(question.answer or ""), lmms_eval_normalise(question.truth)
    )


def judge_vlmevalkit(question: Question) -> Judgement:
    """Compare as VLMEvalKit does without a judge model: by letter, or by equality.

    With options, an answer it cannot infer a letter from is wrong. Without options the original
    asks a language model; here the answer must equal the truth in lower case.
    """
    if question.options:
        return _letter(question, vlmevalkit_option(question.answer or "", question.options))
    said, truth = ((question.answer or "").strip().lower(), question.truth.strip().lower())
    return _equal(question, said, truth)


def lmms_eval_normalise(text: str) -> str:
    """Drop what stands in brackets, put blanks for punctuation, and unite words for yes and no."""
    words = _BRACKETED.sub(" ", text.strip().lower()).translate(_NOT_WORDS).split()
    joined = " ".join(words)
    return _ALIASES.get(joined, joined)


def _letter(question: Question, letter: str | None) -> Judgement:
    truth = true_letter(question.truth, question.options, question.label)
    right = float(letter is not None and letter == truth)
    kind = "closed" if question.closed else "open"
    why = "no letter can be read" if letter is None else f"read as {letter}, the truth is {truth}"
    return Judgement({f"{kind}/accuracy": right, "accuracy": right}, why, letter or "")


def _equal(question: Question, said: str, truth: str) -> Judgement:
    right = float(said == truth)
    kind = "closed" if question.closed else "open"
    return Judgement({f"{kind}/accuracy": right, "accuracy": right}, _sameness(said, truth), said)


def _sameness(said: str, truth: str) -> str:
    return "equal" if said == truth else "not equal"


def _trimmed(text: str) -> str:
    return " ".join(text.lower().split()).removesuffix(".").strip()
