"""Small conversions that every package shares: hashes that stand for names, and human sizes."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from longllava_domains.errors import PolicyError

MIB = 1024**2
GIB = 1024**3


_KEY = bytearray(secrets.token_bytes(32))


def use_site_secret(secret: bytes) -> None:
    """Let hashes that stand for names be the same in every run that knows this secret.

    Without one the key is random for each run: an unkeyed hash is reversed by trying names.

    Args:
        secret: At least 16 bytes that nobody outside the site knows.

    Raises:
        PolicyError: It is shorter.
    """
    if len(secret) < 16:
        raise PolicyError(
            "The site secret is too short.",
            remedy="Use at least 16 random bytes, such as those of `openssl rand 32`.",
            code="hash.secret",
        )
    _KEY[:] = hashlib.sha256(secret).digest()


@contextmanager
def hashing_with(secret: bytes) -> Iterator[None]:
    """Hash with a secret as `use_site_secret` does, for a while: what is kept agrees between runs."""
    before = bytes(_KEY)
    use_site_secret(secret)
    try:
        yield
    finally:
        _KEY[:] = before


def keyed_hash(text: str | bytes) -> str:
    """Return 32 hexadecimal digits that stand for a name within this run, or this site."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return hashlib.blake2b(data, digest_size=16, key=bytes(_KEY)).hexdigest()


def short_hash(text: str | bytes) -> str:
    """Return 8 hexadecimal digits that stand for a path, UID or file; the start of `keyed_hash`."""
    return keyed_hash(text)[:8]


def content_hash(parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of byte strings in order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def human_bytes(count: float) -> str:
    """Spell a number of bytes with a binary unit: ``human_bytes(1536)`` is ``'1.5 KiB'``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def decimal_bytes(count: float) -> str:
    """Spell a number of bytes as makers of GPUs do: ``decimal_bytes(80e9)`` is ``'80.0 GB'``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def counted(count: int, noun: str) -> str:
    """Spell a number of things: ``counted(1, "view")`` is ``'1 view'``, two are ``'2 views'``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """Return ``"Did you mean ...? "`` for what is likely meant, or nothing.

    Args:
        typed: What was given.
        known: What could have been.
    """
    names = {name.lower(): name for name in known}
    near = get_close_matches(str(typed).lower(), names, n=2, cutoff=0.7)
    return f"Did you mean {' or '.join(names[name] for name in near)}? " if near else ""
