"""Tables for notebooks: every text is escaped."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.html.table import facts_table, rows_table


class Text(HTMLParser):
    """Collects the text and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


PRINTABLE = st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1)


@given(name=PRINTABLE, value=PRINTABLE)
def test_no_text_becomes_markup(name: str, value: str) -> None:
    page = Text()
    page.feed(facts_table("<b>title</b>", {name: value, "left out": None}))
    assert page.tags == {"table", "caption", "b", "tr", "th", "td"}
    assert page.said == ["<b>title</b>", name, value]


def test_rows_stand_under_their_headings() -> None:
    page = Text()
    page.feed(rows_table("ships", ("class", "count"), [("ship", 3), ("<script>", 1)]))
    assert page.said == ["ships", "class", "count", "ship", "3", "<script>", "1"]
    assert "script" not in page.tags
