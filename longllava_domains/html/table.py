"""Tables of facts, as a notebook shows an object. Every text is escaped."""

from collections.abc import Iterable, Mapping
from html import escape


def facts_table(title: str, facts: Mapping[str, object]) -> str:
    """Return a table of names and values under a title.

    Args:
        title: What the object is.
        facts: Name -> value; values that are None are left out.
    """
    rows = (
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    return _table(title, rows)


def rows_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table with a row for each of `rows` under a title.

    Args:
        title: What the rows are.
        columns: Headings.
        rows: One value for each heading.
    """
    head = "".join(f"<th style='text-align:left'>{escape(column)}</th>" for column in columns)
    body = ("".join(f"<td>{escape(str(value))}</td>" for value in row) for row in rows)
    return _table(title, (f"<tr>{cells}</tr>" for cells in (head, *body)))


def _table(title: str, rows: Iterable[str]) -> str:
    return f"<table><caption><b>{escape(title)}</b></caption>{''.join(rows)}</table>"
