"""Lines about a search whose answers hold no boxes: the cause, and what to do about it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from longllava_domains.export.report_content import printable

_UNTAUGHT_DEMO: Final = (
    "The demonstration model writes no boxes without an adapter: for a scene leave --adapter out, and "
    "it puts on its own; or train one with longllava finetune skysensegpt-lora."
)


class SearchedView(Protocol):
    """Interface of the outcome of one view."""

    @property
    def unread(self) -> str:
        """Beginning of an answer that cannot be read; empty for others."""
        ...


def unread_lines(
    outcomes: Iterable[SearchedView], provenance: Mapping[str, Any], dialect: str
) -> list[str]:
    """Show the first answer that could not be read, and say what a search needs of a model.

    Args:
        outcomes: One for each view.
        provenance: Of the result.
        dialect: How boxes are written, such as ``"fit-rs"``.

    Returns:
        Lines for a person; none where every answer was read.
    """
    first = next((one.unread for one in outcomes if one.unread), "")
    if not first:
        return []
    shown = " ".join(printable(first).split())
    untaught = provenance.get("demo") and not provenance.get("adapter")
    return [
        f"No box can be read in: {shown!r}",
        _UNTAUGHT_DEMO
        if untaught
        else f"A search needs a model that was taught to write boxes as {dialect} does: name one "
        "with --model or --adapter, or another --dialect.",
    ]
