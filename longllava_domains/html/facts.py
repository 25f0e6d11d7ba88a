"""Tables of facts, as a notebook shows an object. Every text is escaped."""

from collections.abc import Iterable, Mapping

from longllava_domains.html.elements import Html, element

_LEFT = "text-align:left"


def facts_table(title: str, facts: Mapping[str, object]) -> Html:
    """Return a table of names and values under a title.

    Args:
        title: What the object is.
        facts: Name -> value; values that are None are left out.
    """
    rows = (
        element("tr", element("th", name, style=_LEFT), element("td", value))
        for name, value in facts.items()
        if value is not None
    )
    return _table(title, rows)


def rows_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Html:
    """Return a table with a row for each of `rows` under a title.

    Args:
        title: What the rows are.
        columns: Headings.
        rows: One value for each heading.
    """
    head = element("tr", *(element("th", column, style=_LEFT) for column in columns))
    body = (element("tr", *(element("td", value) for value in row)) for row in rows)
    return _table(title, (head, *body))


def _table(title: str, rows: Iterable[Html]) -> Html:
    return element("table", element("caption", element("b", title)), *rows)
