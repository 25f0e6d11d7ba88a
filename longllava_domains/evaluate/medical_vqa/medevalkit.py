"""MedEvalKit: one of yes and no for closed questions, overlap scores for open ones."""

from typing import Final

from longllava_domains.evaluate.medical_vqa.judging import Judgement
from longllava_domains.evaluate.medical_vqa.questions import Question
from longllava_domains.evaluate.text_overlap.bleu import nltk_bleu
from longllava_domains.evaluate.text_overlap.rouge import rouge_package_f

_BOX: Final = "\\boxed{"
_NO_BOX: Final = "None"
# What is cut away before the answer, in this order.
_LEADS: Final = (
    "**answer**:", "**answer**", "*answer*:", "**answer:**", "answer is", "answer:", "答案:",
    "final answer", "final answer is",
)  # fmt: skip
_BLEU: Final = {f"open/bleu{size}": (1 / size,) * size for size in range(1, 5)}


def judge(question: Question) -> Judgement:
    """Judge one answer; the open scores bear the names under which they are published.

    Their helper returns (F1, precision, recall) and is read as (precision, recall, F1), so the
    three published columns are rotated; ``open/corrected_...`` are the true ones.
    """
    truth = question.truth.lower().strip()
    response = _strip_wrapping(question.answer or "").lower().strip()
    if question.closed:
        said = read_answer(response).replace("\n", "").replace(".", "")
        right = (("yes" in said) != ("no" in said)) and truth in said
        both = "yes" in said and "no" in said
        neither = "both yes and no stand" if both else "neither yes nor no stands"
        decided = ("yes" in said) != ("no" in said)
        why = f"{'one of yes and no stands' if decided else neither} in the answer"
        return Judgement({"closed/accuracy": float(right), "accuracy": float(right)}, why, said)
    said = read_answer(response)
    exact = float(said == truth)
    f1, precision, recall = f1_precision_recall(said, truth)
    one, two, longest = rouge_package_f(said, truth)
    scores = {
        "open/exact_match": exact,
        "accuracy": exact,
        "open/precision": f1,
        "open/recall": precision,
        "open/f1": recall,
        "open/corrected_precision": precision,
        "open/corrected_recall": recall,
        "open/corrected_f1": f1,
        "open/rouge1": one,
        "open/rouge2": two,
        "open/rougel": longest,
    }
    words, others = _words(said), _words(truth)
    scores |= zip(_BLEU, nltk_bleu(words, others, tuple(_BLEU.values())), strict=True)
    return Judgement(scores, "equal" if exact else "not equal", said)


def read_answer(response: str) -> str:
    """Return what stands behind the words that lead to an answer, in lower case."""
    text = response.lower()
    if "boxed" in text:
        text = boxed(text)
    elif "<answer>" in text:
        text = _tagged(text)
    for lead in _LEADS:
        text = text.rsplit(lead, 1)[-1]
    return text


def boxed(text: str) -> str:
    """Return the content of the last LaTeX box, ``"None"`` where there is none or it is open."""
    start = text.rfind(_BOX)
    depth = 0
    content = text[start + len(_BOX) :] if start >= 0 else ""
    for end, letter in enumerate(content):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return content[:end].strip()
    return _NO_BOX


def f1_precision_recall(answer: str, truth: str) -> tuple[float, float, float]:
    """Return F1, precision and recall of the different words, in the order of the original.

    An empty text gives zeros, where the original fails.
    """
    said, there = set(answer.lower().split()), set(truth.lower().split())
    common = len(said & there)
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / len(said), common / len(there)
    return 2 * precision * recall / (precision + recall), precision, recall


def _strip_wrapping(response: str) -> str:
    inner = boxed(response)
    if inner != _NO_BOX:
        return inner
    return _tagged(response) if "<answer>" in response else response


def _tagged(text: str) -> str:
    """Return the contents of all answer tags, or the text where none is closed."""
    parts = [
        part.split("</answer>", 1)[0] for part in text.split("<answer>")[1:] if "</answer>" in part
    ]
    return " ".join(parts).strip() or text


def _words(text: str) -> list[str]:
    return text.lower().replace(".", " .").split(" ")
