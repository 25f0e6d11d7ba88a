"""A slip of the pen: the known word that is nearest to what was typed, out of the remedy's own list."""

import re
from typing import Final

from longllava_domains.units import did_you_mean

# What stands in a remedy's list, and words of its sentence that are in no list.
_WORD: Final = re.compile(r"[\w.@+/:-]*\w")
_QUOTED: Final = re.compile(r"'([^']{3,})'")
_SHORTEST: Final = 2
_SENTENCE: Final = frozenset(
    {"any", "are", "as", "at", "be", "by", "choose", "for", "from", "give", "in", "is", "it", "leave", "name",
     "no", "of", "one", "or", "out", "pass", "run", "the", "to", "use", "with", "write"}
)  # fmt: skip


def with_nearest(message: str, remedy: str, typed: str | None) -> str:
    """Return a remedy that begins with what was likely meant, where its list holds that.

    Args:
        message: Of the error; what it quotes stands for what was typed where that is not known.
        remedy: Of it.
        typed: The value of the option that is wrong; None where that is not known.
    """
    quoted = _QUOTED.search(message)
    word = typed or (quoted and quoted[1])
    if not word or len(word) < _SHORTEST or "Did you mean" in remedy:
        return remedy
    known = [each.removeprefix("--") for each in _WORD.findall(remedy) if len(each) >= _SHORTEST]
    # A number is a piece of an example, such as of 1,-1024, and no name.
    known = [
        each for each in known if each.upper() != each.lower() and each.lower() not in _SENTENCE
    ]
    return f"{did_you_mean(word, known)}{remedy}" if word not in known else remedy
