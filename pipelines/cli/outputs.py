"""Guards of outputs: where a command writes, and what it writes over: an earlier output of ours.

One rule for all: an output lies outside of every folder that is read, in a folder that is there.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from longllava_domains.errors import LongLlavaError, OutputError, UnsupportedInputError
from longllava_domains.files import new_file, require_apart, require_writable
from longllava_domains.formats.regular_file import open_regular

_MARK: Final = "longllava-domains"
# Every text that we write speaks of research use or names this package; every picture names it.
_OURS: Final = (b"research use only", _MARK.encode())
_LOOKED_AT_BYTES: Final = 64 * 1024**2


@contextmanager
def about(option: str) -> Iterator[None]:
    """Let a refusal begin with the option that it is about, where a command has several outputs.

    Args:
        option: As it is typed, such as ``"--sheet"``.
    """
    try:
        yield
    except LongLlavaError as error:
        if option not in str(error):
            error.message = f"{option}: {error.message}"
        raise


def require_file_place(output: Path | None, *inputs: object) -> None:
    """Refuse a file that lies in what is read, or whose folder is not there.

    Args:
        output: Where a file shall be; None passes.
        *inputs: What is read.

    Raises:
        OutputError: One of these.
    """
    if output is None:
        return
    require_apart(output, *inputs)
    if not output.absolute().parent.is_dir():
        raise OutputError(
            "The folder of that file is not there.",
            remedy="Give a file in an existing folder that you may write to.",
            code="cli.folder",
        )


def require_new(output: Path | None, *inputs: object) -> None:
    """Refuse a file that is there already, cannot be written, or lies in what is read.

    Args:
        output: Where a file shall be; None passes.
        *inputs: What is read.

    Raises:
        OutputError: One of these.
    """
    if output is not None:
        require_apart(output, *inputs)
        require_writable(output)


def require_folder(output: Path | None, *inputs: object) -> None:
    """Refuse a folder of outputs that cannot be made or lies in what is read; nothing is made yet.

    It is made where it is missing, and the folder that holds it is not: as with files, a slip in
    the path makes no tree of folders.

    Args:
        output: The folder; None passes.
        *inputs: What is read.

    Raises:
        OutputError: One of these.
    """
    if output is None:
        return
    require_apart(output, *inputs)
    if output.exists():
        if output.is_dir():
            return
        raise OutputError(
            "There is a file where the folder shall be.",
            remedy="Give another name for the folder.",
            code="cli.folder",
        )
    above = output.absolute().parent
    if not above.is_dir():
        raise OutputError(
            "The folder that shall hold the new one is not there.",
            remedy="Make that one first, or give a place in a folder that exists.",
            code="cli.folder",
        )
    if not os.access(above, os.W_OK):
        raise OutputError(
            "The folder cannot be made: you may not write there.",
            remedy="Give a place in a folder that you may write to.",
            code="cli.folder",
        )


def require_outside_results(output: Path) -> None:
    """Refuse a folder that lies among the results of another run: both would count as one.

    Raises:
        OutputError: It does.
    """
    for above in output.absolute().parents:
        if (above / "schema.json").is_file() and (above / "parts").is_dir():
            raise OutputError(
                "The folder would lie among the results of another run.",
                remedy="Give a place beside those, not in them.",
                code="cli.folder",
            )


def require_model_folder(output: Path | None, *inputs: object) -> None:
    """Refuse a folder for a model that is taken, cannot be made, or is called as a packaged one.

    Args:
        output: The folder; None passes.
        *inputs: What is read.

    Raises:
        OutputError: One of these.
    """
    from longllava_domains.model.checkpoint.source import DEMO

    require_folder(output, *inputs)
    if output is None:
        return
    if str(output) == DEMO:
        raise OutputError(
            f"The folder would be called {DEMO}, and --model {DEMO} is the packaged model.",
            remedy=f"Give another name, such as my_{DEMO}.",
            code="cli.folder",
        )


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
    require_apart(output, *inputs)
    require_writable(output, overwrite=True)
    if not output.exists():
        return
    try:
        with open_regular(output) as opened:
            content = opened.read(_LOOKED_AT_BYTES)
    except OSError:
        raise OutputError(
            "What is there already is no file that can be read.",
            remedy="Give the name of a new file.",
            code="cli.replace",
        ) from None
    if content and not any(mark in content for mark in ours):
        raise OutputError(
            "A file of that name is there already, and is no earlier output of this program.",
            remedy="Choose another name, or remove that file first.",
            code="cli.replace",
        )


def require_json(output: Path | None) -> None:
    """Refuse a name that says another kind of file than JSON.

    Raises:
        UnsupportedInputError: The ending is not .json.
    """
    _require_ending(output, "JSON", ".json")


def require_geojson(output: Path | None) -> None:
    """Refuse a name that says another kind of file than GeoJSON.

    Raises:
        UnsupportedInputError: The ending is neither .geojson nor .json.
    """
    _require_ending(output, "GeoJSON", ".geojson", ".json")


def _require_ending(output: Path | None, kind: str, *endings: str) -> None:
    if output is not None and output.suffix.lower() not in endings:
        raise UnsupportedInputError(
            f"{kind} is written, and the ending of the output says something else.",
            remedy=f"End it with {' or '.join(endings)}.",
            code="cli.out",
        )


def require_one_each(outputs: Mapping[str, Path | None]) -> None:
    """Refuse two outputs under one name: the second would replace the first.

    Args:
        outputs: Option -> its file, None where it was not given.

    Raises:
        OutputError: Two of them are one file.
    """
    taken: dict[Path, str] = {}
    for option, output in outputs.items():
        if output is None:
            continue
        first = taken.setdefault(output.resolve(), option)
        if first != option:
            raise OutputError(
                f"{first} and {option} have one name.",
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
