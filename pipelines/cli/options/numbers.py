"""Numbers that are refused at the option, before anything is opened."""

import math
from collections.abc import Callable

import typer

from longllava_domains.errors import PolicyError

Check = Callable[[typer.CallbackParam, float | None], float | None]


def above_zero(option: typer.CallbackParam, value: float | None) -> float | None:
    """Refuse what is not a finite number above 0.

    Raises:
        PolicyError: It is not.
    """
    if value is not None and not (math.isfinite(value) and value > 0):
        raise _refused(option, value, "Give a finite number above 0.")
    return value


def at_least(least: int) -> Check:
    """Return a check that refuses numbers below the least one.

    Args:
        least: The least number that means something.
    """

    def check(option: typer.CallbackParam, value: float | None) -> float | None:
        if value is not None and value < least:
            raise _refused(option, value, f"Give a whole number of at least {least}.")
        return value

    return check


def _refused(option: typer.CallbackParam, value: float, remedy: str) -> PolicyError:
    shown = value if isinstance(value, int) else f"{value:g}"
    return PolicyError(f"{option.opts[0]} cannot be {shown}.", remedy=remedy, code="cli.number")
