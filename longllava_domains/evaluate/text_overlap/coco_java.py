"""METEOR and the Penn Treebank tokenizer: only through a pycocoevalcap and Java of the user's own."""

import importlib.util
import shutil
from collections.abc import Sequence

from longllava_domains.errors import PolicyError


def meteor_scores(generated: Sequence[str], written: Sequence[str]) -> list[float]:
    """Return METEOR of each text with its one reference.

    Args:
        generated: Texts, tokens parted by blanks.
        written: Likewise.

    Raises:
        PolicyError: pycocoevalcap or Java is not installed, or Java fails.
    """
    _require_java()
    from pycocoevalcap.meteor.meteor import Meteor

    try:
        _, scores = Meteor().compute_score(_numbered(written), _numbered(generated))
    except (OSError, ValueError) as error:
        raise _java_failed(error) from None
    return [float(score) for score in scores]


def ptb_tokens(texts: Sequence[str]) -> list[str]:
    """Return texts in lower case, tokens parted by blanks, without punctuation.

    Raises:
        PolicyError: pycocoevalcap or Java is not installed, or Java fails.
    """
    _require_java()
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    captions = {number: [{"caption": text}] for number, text in enumerate(texts)}
    try:
        found = PTBTokenizer().tokenize(captions)
    except (OSError, ValueError) as error:
        raise _java_failed(error) from None
    return [found[number][0] for number in range(len(texts))]


def _require_java() -> None:
    if importlib.util.find_spec("pycocoevalcap") is None or shutil.which("java") is None:
        raise PolicyError(
            "pycocoevalcap or Java is not installed.",
            remedy='Install Java and "pycocoevalcap", or do without METEOR and tokenizer="ptb".',
            code="reports.java",
        )


def _numbered(texts: Sequence[str]) -> dict[int, list[str]]:
    return {number: [text] for number, text in enumerate(texts)}


def _java_failed(error: Exception) -> PolicyError:
    return PolicyError(
        f"Java did not score the reports ({type(error).__name__}).",
        remedy='Check the Java that pycocoevalcap finds, or do without METEOR and tokenizer="ptb".',
        code="reports.java_failed",
    )
