"""From turns as data sets write them to rounds of a question and its answer."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from longllava_domains.adapters.data.sample import RowError
from longllava_domains.prompt.pieces import Mark
from longllava_domains.prompt.protocol import Round

# What data sets call the two sides.
USER_ROLES: Final = frozenset({"human", "user"})
ASSISTANT_ROLES: Final = frozenset({"gpt", "assistant", "model"})

Turn = tuple[str, str]


def turns_of(row: Mapping[str, Any], field: str, role: str, text: str) -> list[Turn]:
    """Read a list of turns, each an object with a role and a text.

    Args:
        row: One row of a data set.
        field: Where the list stands, such as ``conversations``.
        role: Name of the role in a turn, such as ``from``.
        text: Name of the text in a turn, such as ``value``.

    Raises:
        RowError: The row has no such list, or a turn no such texts.
    """
    turns = row.get(field)
    if not isinstance(turns, list):
        raise RowError("damaged_row", field)
    found = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise RowError("damaged_row", field)
        spoken, who = turn.get(text), turn.get(role)
        if not isinstance(spoken, str) or not isinstance(who, str):
            missing = role if isinstance(spoken, str) else text
            raise RowError("damaged_row", f"{missing} of a turn of {field}")
        found.append((who, spoken))
    return found


def rounds_of(
    turns: Iterable[Turn],
    users: frozenset[str] = USER_ROLES,
    assistants: frozenset[str] = ASSISTANT_ROLES,
) -> tuple[tuple[Round, ...], int]:
    """Pair questions with answers as the original training code does.

    An answer before any question and a question after the last answer are left out, and so is a
    pair of which one side is empty.

    Args:
        turns: (role, text) in order.
        users: Roles that ask.
        assistants: Roles that answer.

    Returns:
        The rounds, and the number of turns left out.

    Raises:
        RowError: An unknown role, or two turns of the same role in a row.
    """
    rounds: list[Round] = []
    question: str | None = None
    trimmed = 0
    started = False
    for role, text in turns:
        if role in users:
            if question is not None:
                raise RowError("turn_order")
            question, started = text, True
        elif role not in assistants:
            raise RowError("unknown_role")
        elif question is None:
            if started or trimmed:
                raise RowError("turn_order")
            trimmed += 1
        else:
            if question.strip() and text.removesuffix(Mark.EOS.value).strip():
                rounds.append((question, text))
            else:
                trimmed += 2
            question = None
    return tuple(rounds), trimmed + (question is not None)
