"""Hashes that stand for names: the same within a run, and never to be reversed by trying names."""

import hashlib
import subprocess
import sys

import pytest

from longllava_domains import units
from longllava_domains.errors import PolicyError
from longllava_domains.units import human_bytes, keyed_hash, short_hash, use_site_secret

NAME = "DOE^JANE"
SHOW = f"from longllava_domains.units import *; print(short_hash({NAME!r}))"
SITE = f"from longllava_domains.units import *; use_site_secret(b'0123456789abcdef'); print(short_hash({NAME!r}))"


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_name_has_one_hash_within_a_run_and_another_in_the_next() -> None:
    assert short_hash(NAME) == short_hash(NAME.encode()) == keyed_hash(NAME)[:8]
    assert len({run(SHOW), run(SHOW), short_hash(NAME)}) == 3
    assert short_hash(NAME) != hashlib.sha256(NAME.encode()).hexdigest()[:8]


def test_a_site_secret_makes_runs_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_KEY", bytearray(units._KEY))
    use_site_secret(b"0123456789abcdef")
    assert run(SITE) == short_hash(NAME)
    use_site_secret(b"another secret of the site")
    assert run(SITE) != short_hash(NAME)
    with pytest.raises(PolicyError):
        use_site_secret(b"short")


def test_sizes_are_spelled_with_binary_units() -> None:
    assert [human_bytes(size) for size in (0, 1023, 1536, 5 * 2**40)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 TiB",
    ]  # fmt: skip
