"""Tables that a reader can sort, with one small script that every page shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longllava_domains.html.elements import Html, element

SORTING: Final = """
document.querySelectorAll('table.sortable').forEach(table => {
  const value = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent;
  const order = (a, b) => {
    if (a === '' || b === '') return (a === '') - (b === '');
    const x = Number(a), y = Number(b);
    return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
  };
  table.querySelectorAll('th button').forEach((button, at) => button.addEventListener('click', () => {
    const head = button.parentElement, down = head.ariaSort !== 'descending';
    table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
    head.ariaSort = down ? 'descending' : 'ascending';
    const body = table.tBodies[0], rows = Array.from(body.rows);
    rows.sort((a, b) => order(value(a, at), value(b, at)) * (down ? -1 : 1));
    body.append(...rows);
  }));
});
"""
"""The script that sorts the tables of `sortable_table`; pass it to `page`."""


@dataclass(frozen=True)
class SortedCell:
    """One cell that is sorted by something else than its text.

    Attributes:
        shown: Text or HTML.
        sort: What it is sorted by: a number or a text; None stands last where numbers rise.
        kind: CSS class, such as ``"number"`` or ``"key"``.
    """

    shown: object
    sort: float | str | None = None
    kind: str | None = None


def sortable_table(
    head: Sequence[str], rows: Sequence[Sequence[SortedCell | str]], caption: str = ""
) -> Html:
    """Return a table whose headings sort it, the highest first at the first press.

    Args:
        head: Names of the columns.
        rows: Cells.
        caption: What the table shows.
    """
    top = element(
        "tr", *(element("th", element("button", name, type="button"), scope="col") for name in head)
    )
    body = (element("tr", *map(_cell, row)) for row in rows)
    inner = element(
        "table",
        element("caption", caption),
        element("thead", top),
        element("tbody", *body),
        class_="sortable",
    )
    return element("div", inner, class_="scroll")


def _cell(cell: SortedCell | str) -> Html:
    if isinstance(cell, str):
        return element("td", cell)
    sort = "" if cell.sort is None else cell.sort
    return element("td", cell.shown, class_=cell.kind, data_sort=sort)
