"""HTML from Python: what is not `Html` yet is escaped."""

import html
from collections.abc import Sequence
from typing import Final

_VOID: Final = frozenset(("meta", "br", "hr", "img", "link"))


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def raw_text(value: object) -> Html:
    """Return a value as escaped text, `Html` as it is."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(str(value), quote=True))


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element; children and attribute values are escaped.

    Args:
        name: Of the element, in HTML or SVG.
        *children: Text or `Html`.
        **attributes: Underscores become hyphens, one at the end is dropped (``class_``); None
            leaves an attribute out.

    Example:
        >>> element("td", "a < b", class_="wide")
        '<td class="wide">a &lt; b</td>'
    """
    written = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{''.join(map(raw_text, children))}</{name}>")


def table(head: Sequence[object], rows: Sequence[Sequence[object]], caption: str = "") -> Html:
    """Return a table; numbers stand right.

    Args:
        head: Names of the columns.
        rows: Cells; floats are written with four decimals.
        caption: What the table shows.
    """
    top = element("tr", *(element("th", name, scope="col") for name in head))
    body = (element("tr", *map(_cell, row)) for row in rows)
    parts = [element("caption", caption)] if caption else []
    parts += [element("thead", top), element("tbody", *body)]
    return element("div", element("table", *parts), class_="scroll")


def _cell(value: object) -> Html:
    if isinstance(value, float):
        return element("td", f"{value:.4f}", class_="number")
    if isinstance(value, int) and not isinstance(value, bool):
        return element("td", f"{value:,}", class_="number")
    return element("td", "" if value is None else value)
