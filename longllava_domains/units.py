"""Small conversions that every package shares: hashes that stand for names, and human sizes."""

import hashlib
from collections.abc import Iterable

MIB = 1024**2
GIB = 1024**3


def short_hash(text: str | bytes) -> str:
    """Return 8 hexadecimal digits that stand for a path, UID or file without revealing it."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:8]


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
