"""The protocols of VQA-RAD and PathVQA, and whose numbers they made."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from longllava_domains.errors import PolicyError
from longllava_domains.evaluate.medical_vqa import llava_med, medevalkit, plain
from longllava_domains.evaluate.medical_vqa.choices import huatuo_option, true_letter
from longllava_domains.evaluate.medical_vqa.judging import Judge, Judgement, judge_all
from longllava_domains.evaluate.medical_vqa.questions import (
    Question,
    baseline_answers,
    is_yes_no,
    read_questions,
)
from longllava_domains.evaluate.predictions import Matching, Source
from longllava_domains.evaluate.protocol import Protocol
from longllava_domains.evaluate.result import Result

BENCHMARKS: Final = ("vqa-rad", "path-vqa")
DENOMINATORS: Final = ("auto", "all", "answered")


def score_llava_med(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    build: str = "auto",
    closed: str = "answer_type",
    denominator: str = "auto",
    candidates: Sequence[str] = (),
) -> Result:
    """Score as LLaVA-Med v1: token recall for open questions, part of the text for closed ones.

    Args:
        predictions: Answers.
        references: Questions and true answers.
        protocol: Name and version.
        how: Choices about missing answers.
        build: How the data are distributed; see `read_questions`.
        closed: What a closed question is; see `read_questions`.
        denominator: Of ``closed/accuracy``: ``"all"`` closed questions, or without wrong answers
            that say yes or no (``"answered"``). ``"auto"`` is what each official driver does: all
            for VQA-RAD, answered for PathVQA.
        candidates: Answers that a free text is mapped to for ``open/accuracy``; the official list
            was never released.

    Raises:
        PolicyError: An unknown choice.
    """
    if denominator not in DENOMINATORS:
        raise PolicyError(
            f"denominator cannot be {denominator!r}.",
            remedy=f"Choose one of {', '.join(DENOMINATORS)}.",
            code="medical_vqa.denominator",
        )
    answered = denominator == "answered" or (
        denominator == "auto" and protocol.benchmark == "path-vqa"
    )

    def judge(question: Question) -> Judgement:
        if question.closed:
            return llava_med.judge_closed(question, answered_only=answered)
        return llava_med.judge_open(question, candidates)

    questions = read_questions(
        predictions, references, how, benchmark=protocol.benchmark, build=build, closed=closed
    )
    notes = (
        "an answer that says both yes and no is right for every yes/no question",
        *(("closed/accuracy leaves out wrong answers that say yes or no",) if answered else ()),
    )
    headline = ("open/recall", "closed/accuracy")
    return judge_all(questions, judge, protocol, headline, notes=notes)


def score_huatuo(
    predictions: Source,
    references: Source | None,
    *,
    protocol: Protocol,
    how: Matching,
    build: str = "auto",
    yes_no_options: bool = True,
) -> Result:
    """Score multiple choice as HuatuoGPT-Vision does; open questions are left out.

    Args:
        predictions: Answers.
        references: Rows with ``options``; the truth is an option's text.
        protocol: Name and version.
        how: Choices about missing answers.
        build: How the data are distributed; see `read_questions`.
        yes_no_options: Give a question without options whose answer is yes or no the options Yes
            and No; otherwise it is left out.
    """
    rescued = 0

    def judge(question: Question) -> Judgement:
        """Compare the option that an answer is read as with the true one."""
        nonlocal rescued
        options = question.options
        if not options and yes_no_options and is_yes_no(question.truth):
            options = ("Yes", "No")
        if not options or (question.kind or "").lower() == "open":
            return Judgement({}, "no options")
        truth = true_letter(question.truth, options, question.label) or true_letter(
            question.truth.strip().capitalize(), options, None
        )
        letter, step = huatuo_option(question.answer or "", options)
        rescued += step > 1
        right = float(letter == truth)
        scores = {"accuracy": right}
        if question.subset:
            scores[f"subset/{question.subset}"] = right
        how_read = ("a letter", "an option's text", "the most similar option")[step - 1]
        return Judgement(scores, f"{letter} by {how_read}, the truth is {truth}", letter)

    questions = read_questions(
        predictions, references, how, benchmark=protocol.benchmark, build=build, closed="yes-no"
    )
    found = judge_all(questions, judge, protocol, ("accuracy",))
    if rescued:
        note = f"{rescued} answers have no letter alone; the released scorer would abort on them"
        return found.with_notes(note)
    return found


def _scorer(
    judge: Judge, headline: tuple[str, ...], closed_by: str, notes: tuple[str, ...] = ()
) -> Callable[..., Result]:
    """Return the score function of a protocol that judges one question at a time."""

    def score(
        predictions: Source,
        references: Source | None,
        *,
        protocol: Protocol,
        how: Matching,
        build: str = "auto",
        closed: str = closed_by,
    ) -> Result:
        """Pair the rows and judge each question."""
        questions = read_questions(
            predictions, references, how, benchmark=protocol.benchmark, build=build, closed=closed
        )
        return judge_all(questions, judge, protocol, headline, notes=notes)

    return score


_ROTATED: Final = (
    "open/precision, open/recall and open/f1 are published in rotated columns and shown so; "
    "open/corrected_... are the true ones"
)
_LETTER_PROMPT: Final = (
    "{question}\n{options}\nAnswer with the option's letter from the given choices directly."
)
_CLOSED: Final = ("closed/accuracy",)
_BOTH: Final = ("closed/accuracy", "open/accuracy", "accuracy")

_Entry = tuple[str, str, str, Callable[..., Result], dict[str, str], dict[str, float | int | bool]]


def _entries(benchmark: str) -> tuple[_Entry, ...]:
    vila = plain.judge_vila_m3 if benchmark == "vqa-rad" else plain.judge_vila_m3_path
    short = "Please directly provide a short answer to the question."
    return (
        (
            "llava-med", "b9a98a73",
            "Token recall (open), part of the text (closed): the LLaVA-Med tables",
            score_llava_med, {"any": "{question}"}, {"temperature": 0.7},
        ),
        (
            "huatuo-mcq", "f699d88d",
            "Option letters: HuatuoGPT-Vision's tables, which LongLLaVA's table quotes",
            score_huatuo, {"choice": _LETTER_PROMPT},
            {"temperature": 0.2, "repetition_penalty": 1.2, "max_new_tokens": 256},
        ),
        (
            "medevalkit", "9b12e3b3",
            "One of yes and no (closed), exact match and overlap (open): Lingshu's tables, "
            "without their language-model judge",
            _scorer(
                medevalkit.judge, ("closed/accuracy", "open/exact_match", "accuracy"), "yes-no",
                (_ROTATED,),
            ),
            {
                "closed": "{question}\nPlease output 'yes' or 'no'(no extra output).",
                "open": "{question}\nPlease answer the question concisely.",
            },
            {"temperature": 0},
        ),
        (
            "vila-m3", "fc8c5a70", "Equality on closed questions: VILA-M3's table",
            _scorer(vila, _CLOSED, "answer_type"), {"any": "{question}"}, {},
        ),
        (
            "lmms-eval", "75571cfe", "Equality after lmms-eval's normalisation, or its option letter",
            _scorer(plain.judge_lmms_eval, _BOTH, "answer_type"),
            {"any": "{question}", "choice": _LETTER_PROMPT}, {"temperature": 0},
        ),
        (
            "vlmevalkit", "e8e78f05", "Equality, or VLMEvalKit's option letter, without a judge model",
            _scorer(plain.judge_vlmevalkit, _BOTH, "answer_type"),
            {
                "any": f"{{question}}\n{short} ",
                "choice": "Question: {question}\nOptions:\n{options}\n"
                "Please select the correct answer from the options above. \n",
            },
            {},
        ),
        (
            "strict", "1", "The true answer and nothing else",
            _scorer(plain.judge_strict, _BOTH, "answer_type"), {"any": "{question}"}, {},
        ),
        (
            "first-yes-no", "1", "The first word yes or no, closed questions only",
            _scorer(plain.judge_first_yes_no, _CLOSED, "answer_type"), {"any": "{question}"}, {},
        ),
    )  # fmt: skip


_CONSTANTS: Final = ("yes", "no", "yes no")
"""The last one shows which protocols take both answers at once."""

PROTOCOLS: Final = tuple(
    Protocol(benchmark, *entry, partial(baseline_answers, constants=_CONSTANTS))
    for benchmark in BENCHMARKS
    for entry in _entries(benchmark)
)
