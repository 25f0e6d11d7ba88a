"""Guards of outputs: a command writes over an earlier output of ours, and nothing else."""

from pathlib import Path
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from longllava_domains.errors import OutputError
from longllava_domains.files import new_file, require_apart, require_writable
from longllava_domains.formats.regular_file import open_regular

_MARK: Final = "longllava-domains"
# Every text that we write speaks of research use or names this package; every picture names it.
_OURS: Final = (b"research use only", _MARK.encode())
_LOOKED_AT_BYTES: Final = 64 * 1024**2


def require_replaceable(
    output: Path | None, *inputs: object, ours: tuple[bytes, ...] = _OURS
) -> None:
    """Refuse an output that cannot be written, is read by this run, or would replace another's file.

    Args:
        output: Where a file shall be; None passes.
        *inputs: What is read.
        ours: Bytes of which an earlier output of ours holds one.

    Raises:
        OutputError: One of these.
    """
    if output is None:
        return
    require_writable(output, overwrite=True)
    require_apart(output, *inputs)
    if not output.exists():
        return
    with open_regular(output) as opened:
        content = opened.read(_LOOKED_AT_BYTES)
    if content and not any(mark in content for mark in ours):
        raise OutputError(
            "A file of that name is there already, and is no earlier output of this program.",
            remedy="Choose another name, or remove that file first.",
            code="cli.replace",
        )


def require_one_each(*outputs: Path | None) -> None:
    """Refuse two outputs under one name: the second would replace the first.

    Raises:
        OutputError: Two of them are one file.
    """
    named = [output.resolve() for output in outputs if output is not None]
    if len(named) > len(set(named)):
        raise OutputError(
            "Two outputs have one name.",
            remedy="Name a file of its own for each.",
            code="cli.outputs",
        )


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG or JPEG that says which program made it; an earlier one is replaced whole.

    Raises:
        OutputError: It cannot be written.
    """
    marked: dict[str, Any] = {"comment": _MARK.encode()}
    if path.suffix.lower() == ".png":
        about = PngInfo()
        about.add_text("Software", _MARK)
        marked = {"pnginfo": about}
    with new_file(path, overwrite=True) as temporary:
        picture.save(temporary, **marked)
