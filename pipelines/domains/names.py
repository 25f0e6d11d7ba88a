"""A file's name against its bytes: what it promises wrongly is said before its domain is asked for."""

from pathlib import Path
from typing import Final

from longllava_domains.errors import UnsupportedInputError
from longllava_domains.formats.magic import Kind, read_magic
from longllava_domains.formats.regular_file import open_regular

# Ending of a name -> what such a file is. Only formats whose first bytes are known for certain.
_PROMISED: Final = {
    ".svs": "a slide in a TIFF",
    ".ndpi": "a slide in a TIFF",
    ".scn": "a slide in a TIFF",
    ".bif": "a slide in a TIFF",
    ".tif": "a TIFF",
    ".tiff": "a TIFF",
    ".dcm": "DICOM",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".png": "a PNG",
    ".jpg": "a JPEG",
    ".jpeg": "a JPEG",
    ".zip": "a zip archive",
}
# Kinds of file that are none of these.
_NONE_OF_THEM: Final[dict[Kind, str]] = {
    "empty": "it is empty",
    "json": "it is JSON",
    "xml": "it is XML or a web page",
    "unknown": "its bytes are of no format that is read here",
}
_LOOKED_AT: Final = 4096


def require_as_named(source: str | Path) -> None:
    """Refuse a file whose bytes cannot be what its name says; whatever is no file passes.

    Raises:
        UnsupportedInputError: It is something else.
    """
    name = Path(source).name.lower()
    promised = [what for ending, what in _PROMISED.items() if name.endswith(ending)]
    found = _found(source) if promised else ""
    if found:
        raise UnsupportedInputError(
            f"The file is named as {promised[-1]}, but {found}.",
            remedy="Check that it is the right file, and copy or export it again.",
            code="input.not_as_named",
        )


def require_no_text(source: str | Path) -> None:
    """Refuse a plain text file that no domain knows: to name its domain would not help.

    Raises:
        UnsupportedInputError: It is one.
    """
    found = _found(source)
    if found and found != _NONE_OF_THEM["unknown"]:
        raise UnsupportedInputError(
            f"The file is no CT, slide, raster or picture: {found}.",
            remedy="Give the file or the folder that holds the images.",
            code="input.not_as_named",
        )


def _found(source: str | Path) -> str:
    """Say what a file is that is no image of any kind; nothing for what may be one, or no file."""
    try:
        if not Path(source).is_file():
            return ""
        kind = read_magic(source).kind
        if kind != "unknown":
            return _NONE_OF_THEM.get(kind, "")
        with open_regular(source) as stream:
            head = stream.read(_LOOKED_AT)
    except (OSError, ValueError):  # whoever opens it says why it cannot be read
        return ""
    return "it is plain text" if _is_text(head) else _NONE_OF_THEM["unknown"]


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:  # a character may be cut in two at the end of the head
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\n\r\t\f" for character in text)
