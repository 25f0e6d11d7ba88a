"""METEOR and the Penn Treebank tokenizer, through a pycocoevalcap and a Java that the user installed.

Both are Java programs inside pycocoevalcap; nothing of them is part of this package, and nothing
is fetched.
"""

import contextlib
import importlib.util
import io
import re
import shutil
from collections.abc import Sequence
from typing import Any, Final

from longllava_domains.errors import PolicyError

_LINE_BREAKS: Final = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_WITHOUT: Final = "choose another tokenizer, and do without METEOR"


def absent_tool() -> str | None:
    """Return what is missing for METEOR and the official tokenizer, None if both are there."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        return "pycocoevalcap is not installed"
    return None if shutil.which("java") else "Java is not installed"


def ptb_tokens(texts: Sequence[str]) -> list[str]:
    """Return texts in lower case as Stanford's PTBTokenizer 3.4.1 parts them, without punctuation.

    Each text is passed as one line, whatever line breaks it holds; the official script gives the
    texts after a stray carriage return to the wrong rows.

    Returns:
        For each text its tokens, parted by blanks.

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
    return [found.get(number, [""])[0] for number in captions]


def meteor(generated: Sequence[str], written: Sequence[str]) -> tuple[float, list[float]]:
    """Return METEOR 1.5 of all texts, and of each with its one reference, from 0 to 1.

    Args:
        generated: Texts, tokens parted by blanks.
        written: Likewise.

    Raises:
        PolicyError: pycocoevalcap or Java is absent, or fails.
    """
    _require_tools()
    from pycocoevalcap.meteor.meteor import Meteor

    said, meant = (
        # Three bars part the fields of a line that METEOR's Java program reads.
        {number: [text.replace("|||", "")] for number, text in enumerate(texts)}
        for texts in (generated, written)
    )
    scorer: Any = Meteor()
    try:
        score, scores = scorer.compute_score(meant, said)
    except (OSError, ValueError) as error:
        raise _failed("METEOR", error) from None
    finally:
        _end(scorer)
    return float(score), [float(one) for one in scores]


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
            remedy=f'Install Java and "longllava-domains[eval]", or {_WITHOUT}.',
            code="evaluate.coco_tools",
        )


def _failed(what: str, error: Exception) -> PolicyError:
    return PolicyError(
        f"{what} failed.",
        remedy=f"Check that Java runs, or {_WITHOUT}.",
        code="evaluate.coco_tools",
        facts={"error": type(error).__name__},
    )
