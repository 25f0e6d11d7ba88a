"""Tables of predictions in every format and encoding, and the refusals of broken ones."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longllava_domains.errors import DamagedInputError, InputError
from longllava_domains.evaluate.predictions import read_table

ROWS = [{"id": "a", "answer": "Ödem"}, {"id": "b", "answer": 'two,\n"three"'}]


def write(path: Path, encoding: str = "utf-8") -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return path
    texts = {
        ".jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n",
        ".json": json.dumps(ROWS, ensure_ascii=False),
        ".csv": 'id,answer\r\na,Ödem\r\nb,"two,\n""three"""\r\n',
        ".tsv": 'id\tanswer\na\tÖdem\nb\t"two,\n""three"""\n',
    }
    path.write_bytes(texts[path.suffix].encode(encoding))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert list(read_table(write(tmp_path / f"rows{suffix}")).rows) == ROWS


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_the_encoding(tmp_path: Path, suffix: str, encoding: str) -> None:
    table = read_table(write(tmp_path / f"rows{suffix}", encoding))
    assert list(table.rows) == ROWS
    assert table.encoding == encoding
    assert table.notes == ()


def test_a_file_that_is_not_unicode_is_read_as_windows_1252_and_says_so(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "rows.csv", "cp1252"))
    assert list(table.rows) == ROWS
    assert table.notes == (
        "read as Windows-1252, not UTF-8: 1 lines hold letters that depend on it",
    )


def test_an_object_of_answers_becomes_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('{"7": "yes", "8": {"text": "no"}}')
    assert read_table(path).rows == ({"id": "7", "answer": "yes"}, {"id": "8", "text": "no"})


def test_rows_in_memory_are_taken_as_they_are() -> None:
    assert read_table(iter(ROWS)).rows == tuple(ROWS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.jsonl", b'{"id": 1}\n{"id": ', "line 2 is not JSON"),
        ("rows.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("rows.jsonl", b"7\n", "row 1 is no object"),
        ("rows.json", b"7", "neither a list nor an object"),
        ("rows.csv", b"id,answer\n1,2,3\n", "line 2 has more cells"),
        ("rows.csv", b'id,answer\n1,"2\n', "is not CSV"),
        ("rows.parquet", b"PAR1", "not Parquet"),
        ("rows.json", b"\xff\xfe\x00\x00\x01", "does not fit its utf-32 mark"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DamagedInputError, match=said):
        read_table(path)


@pytest.mark.parametrize("name", ["Doe_Jane.xlsx", "Doe_Jane.csv"])
def test_a_refusal_never_repeats_the_name_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / name)
    assert "Doe" not in str(caught.value)


def test_a_table_with_semicolons_is_read_as_excel_writes_it(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("scan;Lung nodule\na;1\n")
    assert read_table(table).rows == ({"scan": "a", "Lung nodule": "1"},)
    table.write_text("scan,a;b\n1,2\n")  # a semicolon in the name of a column
    assert read_table(table).rows == ({"scan": "1", "a;b": "2"},)
