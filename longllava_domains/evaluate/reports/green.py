"""GREEN: the score behind the text that its judge model writes, and where reading it fails."""

import re
from dataclasses import dataclass
from typing import Final

# A section ends at an empty line. Counts are read only with a period behind them: the first of
# the matched findings at the very beginning, those of errors behind a colon on a lettered line.
_SECTION: Final = r"\[{}\]:\s*(.*?)(?:\n\s*\n|\Z)"
_MATCHED: Final = re.compile(_SECTION.format("Matched Findings"), re.DOTALL)
_ERRORS: Final = re.compile(_SECTION.format("Clinically Significant Errors"), re.DOTALL)
_LEADING_COUNT: Final = re.compile(r"(\d+)\.")
_LINE: Final = re.compile(r"\(([a-f])\) .*")
_COUNT: Final = re.compile(r"(?<=: )(\d+)(?=\.)")


@dataclass(frozen=True)
class GreenScore:
    """The score of one pair of reports.

    Attributes:
        score: From 0 to 1, as the original computes it.
        matched: Findings in both reports.
        errors: Clinically significant errors.
        failures: Sections of the judge's text that are absent or hold no readable count; the
            original scores on as if nothing stood there.
    """

    score: float
    matched: int
    errors: int
    failures: tuple[str, ...]


def green_score(matched: int, errors: int) -> float:
    """Return matched findings over matched findings and significant errors; 0 without a match."""
    return matched / (matched + errors) if matched else 0.0


def read_green(text: str) -> GreenScore:
    """Read the judge's text.

    Without a section of errors the original counts none, so that one matched finding scores 1:
    count the failures before believing a mean.

    Args:
        text: All that the judge model wrote about one pair.
    """
    failures = []
    matched = _leading_count(_MATCHED.search(text))
    if matched is None:
        failures.append("matched findings")
    errors = _errors(_ERRORS.search(text))
    if errors is None:
        failures.append("significant errors")
    score = green_score(matched or 0, errors or 0)
    return GreenScore(score, matched or 0, errors or 0, tuple(failures))


def _leading_count(section: re.Match[str] | None) -> int | None:
    if section is None:
        return None
    if section.group(1).startswith("No"):
        return 0
    found = _LEADING_COUNT.match(section.group(1))
    return int(found.group(1)) if found else None


def _errors(section: re.Match[str] | None) -> int | None:
    """Return the sum over the letters, the last line of each counting; None if none is read."""
    if section is None:
        return None
    if section.group(1).startswith("No"):
        return 0
    counts = {}
    for line in sorted(found.group(0) for found in _LINE.finditer(section.group(1))):
        number = _COUNT.search(line)
        if number:
            counts[line[1]] = int(number.group(1))
    return sum(counts.values()) if counts else None
