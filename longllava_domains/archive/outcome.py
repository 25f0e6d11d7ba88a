"""The end of an item: an outcome, not an exception.

One bad study never stops a run. What does stop it is an output that cannot be written: every
further item would be lost, too.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from longllava_domains.errors import (
    AnswerError,
    InputError,
    LongLlavaError,
    MemoryBudgetError,
    NetworkError,
    OutputError,
    PolicyError,
    PromptError,
)

Status = Literal["done", "refused", "failed"]
STATUSES: Final[tuple[Status, ...]] = ("done", "refused", "failed")

# The same input gives the same refusal, so it is final; all else may go better another time.
_REFUSALS: Final = (InputError, PolicyError, PromptError, AnswerError, MemoryBudgetError)
_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,100}\Z")

KILLED: Final = "archive.killed"


@dataclass(frozen=True)
class Outcome:
    """The end of one item.

    Attributes:
        status: ``"done"``, ``"refused"`` (by one of our errors, for good) or ``"failed"``.
        code: Stable code of the refusal or failure; empty for done.
        attempts: How often the item was tried.
    """

    status: Status
    code: str = ""
    attempts: int = 1

    @classmethod
    def done(cls, attempts: int = 1) -> "Outcome":
        """The item was scored."""
        return cls("done", attempts=attempts)

    @classmethod
    def refused(cls, code: str, attempts: int = 1) -> "Outcome":
        """One of our errors says why this input is not scored."""
        return cls("refused", _plain(code), attempts)

    @classmethod
    def failed(cls, code: str, attempts: int = 1) -> "Outcome":
        """It went wrong as often as was allowed."""
        return cls("failed", _plain(code), attempts)


def outcome_of(error: Exception, attempts: int = 1) -> Outcome:
    """Return the outcome that an item's error stands for.

    Args:
        error: What preparing or scoring the item raised.
        attempts: How often it was tried, this time included.

    Returns:
        A refusal by code for what this input will always give; else a failure. Only the code, or
        the name of a foreign error's class, is kept: messages may hold what is in a header.

    Raises:
        OutputError: The output cannot be written; the run has to stop.
    """
    if isinstance(error, OutputError) and not isinstance(error, NetworkError):
        raise error
    if isinstance(error, _REFUSALS):
        return Outcome.refused(error.code, attempts)
    if isinstance(error, LongLlavaError):
        return Outcome.failed(error.code, attempts)
    return Outcome.failed(f"failed.{type(error).__name__}", attempts)


def _plain(code: str) -> str:
    return code if _CODE.match(code) else "failed.unnamed"
