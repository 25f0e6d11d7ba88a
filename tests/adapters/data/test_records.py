import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longllava_domains.adapters.data import records
from longllava_domains.adapters.data.records import JsonRecords
from longllava_domains.errors import DamagedInputError, NotFoundError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab[]{},"\\é'), inner, max_size=3)
    ),
    max_leaves=6,
)


def rows_of(path: Path) -> list[object]:
    return [row for _, row in JsonRecords((path,))]


@settings(deadline=None, max_examples=80)
@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_a_list_is_streamed_whatever_the_block_and_read_again_from_its_places(
    tmp_path_factory, rows, block, indent, ascii_only
) -> None:
    path = tmp_path_factory.mktemp("list") / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    stored = JsonRecords((path,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BLOCK_BYTES", block)
        found = list(stored)
    assert [row for _, row in found] == rows
    assert [stored.read(place) for place, _ in found] == rows


@settings(deadline=None, max_examples=40)
@given(st.lists(JSON, min_size=1, max_size=6), st.booleans())
def test_lines_are_streamed_and_read_again_from_their_places(tmp_path_factory, rows, mark) -> None:
    rows = [{"row": row} for row in rows]
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text, encoding="utf-8")
    stored = JsonRecords((path, path))
    found = list(stored)
    assert [row for _, row in found] == rows * 2
    assert [stored.read(place) for place, _ in found] == rows * 2


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'\xef\xbb\xbf [ {"a": "\xc3\xa9"} , 2 ]')
    stored = JsonRecords((path,))
    assert [stored.read(place) for place, _ in stored] == [{"a": "é"}, 2]


def test_a_line_that_is_not_json_is_one_row_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n\xff\xfe\n{"a": 2}\n')
    assert rows_of(path) == [{"a": 1}, None, None, {"a": 2}]


@pytest.mark.parametrize(
    "text", [b'[{"a": 1}, {"a"', b"[1, 2", b"[1 2]", b"[1,, 2]", b"[", b'["\xff"]', b"[1, nul]"]
)
def test_a_damaged_list_is_refused_because_rows_behind_it_are_lost(tmp_path: Path, text) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text)
    with pytest.raises(DamagedInputError) as caught:
        rows_of(path)
    assert caught.value.code == "training.json"
    assert "rows.json" not in str(caught.value)


def test_a_file_that_is_not_there_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Data file 1"):
        rows_of(tmp_path / "secret_name.json")
