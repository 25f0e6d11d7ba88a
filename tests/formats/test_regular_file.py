"""Only regular files, bounded in size and nesting, are read through the front door."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longllava_domains.formats.regular_file import (
    MAX_NESTING,
    BadDocumentError,
    open_regular,
    parse_json,
    read_bounded,
    read_json,
)


def test_pipes_folders_devices_and_null_characters_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for place in ("pipe", "circle", ".", "absent", "nul\0l"):
        with pytest.raises(OSError, match=r"regular|links|No such"):
            open_regular(tmp_path / place)
    with pytest.raises(OSError, match="regular"):
        open_regular("/dev/zero")


def test_a_file_longer_than_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(BadDocumentError):
        read_bounded(tmp_path / "a", 4)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5000, "[" * 200 + "]" * 200, "\xff", ""])
def test_deep_or_broken_json_is_refused_and_not_followed(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadDocumentError):
        read_json(tmp_path / "a.json")


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_json("[" * MAX_NESTING + "]" * MAX_NESTING)
    with pytest.raises(BadDocumentError):
        parse_json("[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1))


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_what_json_writes_is_read_back(document: object) -> None:
    assert parse_json(json.dumps(document)) == document
    assert parse_json(json.dumps(document).encode()) == document
