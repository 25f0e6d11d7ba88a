"""Options that mean something only beside another: alone they would be dropped in silence.

One table for all commands, held against their options by a test.
"""

from collections.abc import Sequence
from typing import Final

from longllava_domains.errors import PolicyError

# Command -> option -> the option (or the spelled-out value of one) that it needs.
NEEDS: Final[dict[str, dict[str, str]]] = {
    "plan train": {"--lora-rank": "--lora"},
    "archive run": {
        "--sample": "--dry-run",
        "--deadline": "--dry-run",
        "--address": "--engine ray",
        "--gpus-each": "--engine ray",
    },
    "archive forget": {"--ledger": "--results"},
    "finetune": {"--evaluate-every-steps": "--evaluation", "--evaluate-rows": "--evaluation"},
}


def require_together(command: str, arguments: Sequence[str]) -> None:
    """Refuse an option that was typed without the one that it needs.

    Args:
        command: The command that runs, such as ``"plan train"``.
        arguments: As they were typed.

    Raises:
        PolicyError: One was.
    """
    words = " ".join(arguments).replace("=", " ").split(" ")
    for option, needed in NEEDS.get(command, {}).items():
        name, _, value = needed.partition(" ")
        is_there = any(
            word == name and (not value or value in words[place + 1 : place + 2])
            for place, word in enumerate(words)
        )
        if option in words and not is_there:
            raise PolicyError(
                f"{option} would change nothing without {needed}.",
                remedy=f"Add {needed}, or leave {option} out.",
                code="cli.alone",
            )
