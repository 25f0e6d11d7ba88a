"""Pieces of text between two marks, in time that grows with the text and no faster."""

from collections.abc import Iterator


def between(text: str, opening: str, closing: str, *, least: int = 0) -> Iterator[str]:
    """Yield what stands between marks, as ``re.findall`` does for ``opening(.*?)closing``.

    The shortest piece from each opening mark, on one line, from left to right, without overlap.
    The regular expression itself takes quadratic time on a text full of opening marks.

    Args:
        text: Any text.
        opening: Mark before a piece.
        closing: Mark after it.
        least: Characters that a piece has at least; 1 for ``(.+?)``.
    """
    for line in text.split("\n"):
        start = line.find(opening)
        while start >= 0:
            inner = start + len(opening)
            end = line.find(closing, inner + least)
            if end < 0:
                break  # no later opening mark of this line can be closed either
            yield line[inner:end]
            start = line.find(opening, end + len(closing))


def first_between(
    text: str, opening: str, closing: str, *, least: int = 0, default: str = ""
) -> str:
    """Return the first piece between two marks, or the default."""
    return next(between(text, opening, closing, least=least), default)


def groups(text: str, opening: str, middle: str, closing: str) -> Iterator[tuple[str, str]]:
    """Yield two neighbouring pieces, as for ``opening(.*?)middle(.*?)closing``."""
    for line in text.split("\n"):
        start = line.find(opening)
        while start >= 0:
            inner = start + len(opening)
            centre = line.find(middle, inner)
            second = centre + len(middle)
            end = line.find(closing, second) if centre >= 0 else -1
            if end < 0:
                break
            yield line[inner:centre], line[second:end]
            start = line.find(opening, end + len(closing))
