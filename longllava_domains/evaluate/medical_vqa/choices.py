"""The option that an answer names, as three toolkits find it."""

import difflib
import re
import string
from collections.abc import Sequence
from typing import Final

LETTERS: Final = string.ascii_uppercase

# A letter after a boundary and before a non-word character; "A " alone is an article.
_HUATUO_LETTER: Final = re.compile(r"(?:[\W是为]|^)(?![aA] )([a-nA-N])(?:\W|$)")


def huatuo_option(answer: str, options: Sequence[str]) -> tuple[str, int]:
    """Return the letter that HuatuoGPT-Vision's scorer reads, and the step that found it.

    Step 1: the first letter from a to n that stands alone, in its own case. Step 2: the option
    whose text stands last in the answer. Step 3: the most similar option, of equals the last. The
    released scorer aborts on steps 2 and 3.

    Args:
        answer: The model's text.
        options: At least one.
    """
    alone = _HUATUO_LETTER.search(answer)
    if alone:
        return alone.group(1), 1
    said = answer.lower()
    places = [said.rfind(option.lower()) for option in options]
    if max(places) >= 0:
        return LETTERS[places.index(max(places))], 2
    ratios = [difflib.SequenceMatcher(None, option.lower(), said).ratio() for option in options]
    return LETTERS[len(ratios) - 1 - ratios[::-1].index(max(ratios))], 3


def lmms_eval_option(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter that lmms-eval reads, None where it would draw one at random.

    Letters in brackets come first, then letters before a blank, then before a period; then, in
    answers of more than five words, the options' texts. Of several the last in the text is taken.
    """
    text = answer
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    letters = LETTERS[: len(options)]
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in letters if form.format(letter) in text]
        if found:
            return _last(found, [text.rfind(place.format(letter)) for letter in found])
    if len(text.split()) > 5:
        lower = text.lower()
        places = {
            letter: lower.rfind(option.lower())
            for letter, option in zip(letters, options, strict=True)
            if option.lower() in lower
        }
        if places:
            return _last(list(places), list(places.values()))
    return None


def vlmevalkit_option(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter that VLMEvalKit infers without a judge, None where it infers none.

    One letter among the last words, or else exactly one option's text in an answer that is not
    much longer than the options. ``"Z"`` is a refusal.
    """
    letters = LETTERS[: len(options)]
    if any(refusal in answer for refusal in _REFUSALS):
        return "Z"
    words = answer.translate(_AS_BLANKS).split()
    found = [letter for letter in letters if letter in words]
    if len(found) == 1 and words.index(found[0]) > len(words) - 5:
        return found[0]
    if not found and "Z" in words:
        return "Z"
    lower = answer.lower()
    if len(lower) > 2 * sum(map(len, options)):
        return None
    named = [
        letter for letter, option in zip(letters, options, strict=True) if option.lower() in lower
    ]
    return named[0] if len(named) == 1 else None


_AS_BLANKS: Final = str.maketrans(".()[],:;!*#{}", " " * 13)
_REFUSALS: Final = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def option_lines(options: Sequence[str]) -> str:
    """Return options as both toolkits print them: a letter, a period and the text on each line."""
    lines = (f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return "\n".join(lines)


def true_letter(truth: str, options: Sequence[str], label: str | None) -> str | None:
    """Return the letter of the true answer: as the data give it, or where its text stands."""
    if label and label.strip() in LETTERS[: len(options)]:
        return label.strip()
    if truth in options:
        return LETTERS[options.index(truth)]
    if len(truth.strip()) == 1 and truth.strip() in LETTERS[: len(options)]:
        return truth.strip()
    return None


def _last(letters: Sequence[str], places: Sequence[int]) -> str:
    return letters[places.index(max(places))]
