"""Pages that fetch nothing, run nothing and escape what they are given."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.html import (
    Html,
    Line,
    SortedCell,
    bar_plot,
    column_plot,
    element,
    heat_map,
    line_plot,
    page,
    sortable_table,
    table,
)


class Outline(HTMLParser):
    """Reads a page back: its elements, its text, and whether all that opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.names.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_text_and_attributes_are_escaped_and_come_back_whole(text: str) -> None:
    found = Outline(element("p", text, title=text))
    assert found.names == ["p"]
    assert found.text.replace("\r", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")


def test_what_is_html_already_is_not_escaped_again() -> None:
    assert element("b", element("i", "<")) == "<b><i>&lt;</i></b>"
    assert element("b", Html("&amp;"), class_="x", id=None) == '<b class="x">&amp;</b>'


def test_a_page_fetches_nothing_and_runs_nothing() -> None:
    text = page("A < B", table(("name", "value"), [("<script>", 0.5), ("n", 1234)]))
    found = Outline(text)
    assert not {"script", "link", "iframe", "img"} & set(found.names)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert "For research use only" in found.text
    for said in ("A < B", "<script>", "0.5000", "1,234"):
        assert said in found.text


@pytest.mark.parametrize(
    "plot",
    [
        line_plot([Line("a & b", [0, 0.5, 1], [0, 0.8, 1])], "ROC", "x", "y"),
        bar_plot(["a & b", "c"], [0.5, 7.0], [(0.4, 0.6), None], "ROC"),
        heat_map(["a & b"], ["1", "2"], [[0.5, None]], "ROC"),
    ],
)
def test_every_plot_names_what_it_shows_and_stays_inside_its_frame(plot: Html) -> None:
    found = Outline(plot)
    assert found.text.count("ROC") == 2
    assert "a & b" in found.text
    width = float(re.search(r'viewBox="0 0 (\S+)', plot).group(1))
    for name in ("x", "x1", "x2"):
        assert all(
            0 <= float(value) <= width for value in re.findall(rf' {name}="([-\d.]+)"', plot)
        )


def test_a_curve_goes_from_the_lower_left_to_the_upper_right() -> None:
    plot = line_plot([Line("ROC", [0.0, 1.0], [0.0, 1.0])], "t", "x", "y")
    (x1, y1), (x2, y2) = (
        map(float, p.split(",")) for p in re.search(r'points="(.*?)"', plot).group(1).split()
    )
    assert x1 < x2
    assert y1 > y2


def test_columns_are_as_high_as_their_values() -> None:
    text = column_plot(["a", ""], [2.0, 4.0], ["two", "four"], "Counts")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)" class="bar"', text)]
    assert heights[1] == 2 * heights[0] == 160
    assert Outline(text).text == "CountstwoafourCounts"


def test_cells_are_sorted_by_what_they_stand_for() -> None:
    text = sortable_table(
        ("name", "size"),
        [("x", SortedCell("1.5 MB", 1500000.0, "number")), ("y", SortedCell("", None))],
    )
    assert re.findall(r'data-sort="(.*?)"', text) == ["1500000.0", ""]
    assert Outline(text).names.count("button") == 2
