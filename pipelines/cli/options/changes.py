"""The option --set of a recipe: FIELD=VALUE, as often as it is given."""

import json
from collections.abc import Sequence
from typing import Any

from longllava_domains.errors import PolicyError


def parsed_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Read FIELD=VALUE; a value that is JSON is read as such, and one with commas as a list.

    Raises:
        PolicyError: There is no equals sign.
    """
    given: dict[str, Any] = {}
    for change in changes:
        field, sign, text = change.partition("=")
        if not sign or not field:
            raise PolicyError(
                "A change of the recipe is not FIELD=VALUE.",
                remedy="Write --set epochs=2 or --set lora.targets=attention,in_proj.",
                code="cli.set",
            )
        try:
            given[field] = json.loads(text)
        except ValueError:
            given[field] = text
        if field == "lora.targets" and isinstance(given[field], str):
            given[field] = given[field].split(",")
    return given
