"""Captions as words: our own tokenizer, close to the official one on plain English.

The official tokenizer is Stanford's PTBTokenizer 3.4.1 in lower case, with punctuation removed;
see `longllava_domains.evaluate.text_overlap.coco_java`.
"""

import re
from functools import lru_cache
from typing import Final

_APOSTROPHES: Final = str.maketrans("\u2019\u2018\u0060\u201c\u201d", "'''\"\"")
_NOT = re.compile(r"(?<=\w)n't\b")
_SUFFIX = re.compile(r"(?<=\w)'(s|m|d|re|ve|ll)\b")
_CANNOT = re.compile(r"\bcannot\b")
_ABBREVIATIONS: Final = r"(?:mr|mrs|ms|dr|st|no|etc|vs|fig)\."

# A token starts where the last one ended, and no alternative looks back over more than one
# token: the time grows with the text and no faster.
_TOKEN = re.compile(
    r"n't\b|'(?:s|m|d|re|ve|ll)\b"
    r"|</?[a-z]+>"
    r"|-[lr][rsc]b-"  # a bracket that was tokenized before
    rf"|\b{_ABBREVIATIONS}"
    r"|\b(?:[a-z]\.)+(?![a-z0-9])"
    r"|(?:(?<=\s)|^)[-+]\d+(?:[.,]\d+)*"
    r"|\d+(?:[.,:/]\d+)*(?:[-./]?\w+)*"
    r"|\w+(?:[-./@]\w+)*"
    r"|\S"
)
_BRACKETS: Final = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
}
_ORDINARY: Final = 40  # characters; longer pieces are not worth remembering
_PUNCTUATION: Final = frozenset("'\"`.?!,:;-\u2013\u2014\u2026")


def plain_tokens(text: str) -> list[str]:
    """Return the words of a caption in lower case without punctuation.

    Contractions are parted ("isn't" is "is" and "n't"), words joined by hyphens, slashes and
    inner full stops stay whole, and brackets become "-lrb-" and the like, as in the official
    tokenizer. Rare abbreviations and symbols can differ.
    """
    tokens: list[str] = []
    for piece in text.split():
        tokens += _remembered(piece) if len(piece) <= _ORDINARY else _tokens_of(piece)
    return tokens


def _tokens_of(piece: str) -> tuple[str, ...]:
    """Return the words of a piece without spaces."""
    piece = piece.translate(_APOSTROPHES).lower()
    if "'" in piece:
        piece = _SUFFIX.sub(r" '\1", _NOT.sub(" n't", piece))
    if "cannot" in piece:
        piece = _CANNOT.sub("can not", piece)
    found = (_BRACKETS.get(token, token) for token in _TOKEN.findall(piece))
    return tuple(token for token in found if token not in _PUNCTUATION)


# Captions are made of the same few thousand words again and again.
_remembered = lru_cache(maxsize=100_000)(_tokens_of)
