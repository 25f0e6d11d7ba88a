"""METEOR and the official tokenizer, through a pycocoevalcap and a Java that the user installed.

Both are Java programs inside pycocoevalcap; nothing of them is part of this package, and nothing
is fetched.
"""

import contextlib
import importlib.util
import io
import re
import shutil
from collections.abc import Sequence
from typing import Any

from longllava_domains.errors import PolicyError

_LINE_BREAKS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def absent_tool() -> str | None:
    """Return what is missing for METEOR and the official tokenizer, None if both are there."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        return "pycocoevalcap is not installed"
    return None if shutil.which("java") else "Java is not installed"


def official_tokens(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of captions as Stanford's PTBTokenizer 3.4.1 finds them.

    Each caption is passed as one line, whatever line breaks it holds; the official script gives
    the captions after a stray carriage return to the wrong rows.

    Raises:
        PolicyError: pycocoevalcap or Java is absent, or fails.
    """
    _require_tools()
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    captions = {
        number: [{"caption": _LINE_BREAKS.sub(" ", text)}] for number, text in enumerate(texts)
    }
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found: dict[int, list[str]] = PTBTokenizer().tokenize(captions)
    except (OSError, ValueError) as error:
        raise _failed("The official tokenizer", error) from None
    return [found.get(number, [""])[0].split() for number in captions]


def meteor(answers: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]) -> float:
    """Return METEOR 1.5 of tokenized captions, from 0 to 1.

    Raises:
        PolicyError: pycocoevalcap or Java is absent, or fails.
    """
    _require_tools()
    from pycocoevalcap.meteor.meteor import Meteor

    said, meant = (
        {number: [" ".join(tokens).replace("|||", "")] for number, tokens in enumerate(captions)}
        for captions in (answers, truths)
    )
    scorer: Any = Meteor()
    try:
        score, _ = scorer.compute_score(meant, said)
    except (OSError, ValueError) as error:
        raise _failed("METEOR", error) from None
    finally:
        _end(scorer)
    return float(score)


def _end(scorer: Any) -> None:
    """Let go of the Java process; after an error its own end would wait for its lock for ever."""
    if scorer.lock.locked():
        scorer.lock.release()
    for pipe in (scorer.meteor_p.stdout, scorer.meteor_p.stderr):
        pipe.close()


def _require_tools() -> None:
    missing = absent_tool()
    if missing is not None:
        raise PolicyError(
            f"METEOR and the official tokenizer cannot be run: {missing}.",
            remedy='Install Java and "longllava-domains[eval]", or choose tokenizer="plain".',
            code="evaluate.coco_tools",
        )


def _failed(what: str, error: Exception) -> PolicyError:
    return PolicyError(
        f"{what} failed ({type(error).__name__}).",
        remedy='Check that Java runs, or choose tokenizer="plain".',
        code="evaluate.coco_tools",
    )
