"""Self-contained pages: one frame, escaping that cannot be forgotten, and plots as SVG."""

from longllava_domains.html.elements import Html, element, raw_text, table
from longllava_domains.html.frame import page
from longllava_domains.html.plots import Line, bar_plot, column_plot, heat_map, line_plot
from longllava_domains.html.sorting import SORTING, SortedCell, sortable_table

__all__ = [
    "SORTING",
    "Html",
    "Line",
    "SortedCell",
    "bar_plot",
    "column_plot",
    "element",
    "heat_map",
    "line_plot",
    "page",
    "raw_text",
    "sortable_table",
    "table",
]


def __dir__() -> list[str]:
    return list(__all__)
