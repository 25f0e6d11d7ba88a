"""The option --set: a name and a value, as often as need be, and each name once."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from longllava_domains.errors import PolicyError


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Read FIELD=VALUE; a value that is JSON is read as such, and one with commas as a list.

    Raises:
        PolicyError: There is no equals sign, or a field is given twice.
    """
    given: dict[str, Any] = {}
    require_once(change.partition("=")[0] for change in changes)
    for change in changes:
        field, sign, text = change.partition("=")
        if not sign or not field:
            raise PolicyError(
                f"A change of the recipe is not FIELD=VALUE: --set {change}.",
                remedy="Write --set epochs=2 or --set lora.targets=attention,in_proj.",
                code="cli.set",
            )
        given[field] = _value(text)
        if field == "lora.targets" and isinstance(given[field], str):
            given[field] = given[field].split(",")
    return given


def read_settings(pairs: list[str] | None) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is JSON where it can be, and text where it cannot.

    Raises:
        PolicyError: A name has no value, or is given twice.
    """
    found: dict[str, Any] = {}
    require_once(pair.partition("=")[0].replace("-", "_") for pair in pairs or ())
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise PolicyError(
                f"The setting {name!r} has no value.",
                remedy="Write --set name=value.",
                code="cli.setting",
            )
        found[name.replace("-", "_")] = _value(value)
    return found


def require_once(names: Iterable[str]) -> None:
    """Refuse a name that is set twice: one of the two values would be dropped in silence.

    Raises:
        PolicyError: One is.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PolicyError(
                f"--set {name} is given twice.", remedy="Give it once.", code="cli.twice"
            )
        seen.add(name)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
