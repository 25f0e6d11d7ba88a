"""A new file appears whole or not at all, and an old one is replaced only when asked.

`new_file` gives a name for any writer to write to; `write_text` and `write_private` write what is
at hand, the second for its owner's eyes alone. `require_writable` refuses before long work what would
be refused after it, and `require_apart` an output that would destroy an input.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from longllava_domains.errors import OutputError

logger = logging.getLogger(__name__)

_PART: Final = ".part-"
_INTERRUPTED_AFTER_S: Final = 3600
_told: set[Path] = set()


@contextmanager
def new_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a name to write to; it becomes `path` when the block ends without an error.

    Args:
        path: Where the file shall be; its folder must exist.
        overwrite: Replace a file that is already there.

    Raises:
        OutputError: The file exists, or the folder is missing, full or not writable.
    """
    target = Path(path)
    with _folder_beside(target, overwrite=overwrite) as folder:
        # The same name, because writers look at the suffix and record the stem.
        temporary = Path(folder) / target.name
        try:
            yield temporary
            if overwrite:
                os.replace(temporary, target)
            else:
                _put_where_nothing_is(temporary, target)
        except OSError as error:
            raise _not_writable(error) from None


def require_writable(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a place that `new_file` could not write to, before the work that would be lost.

    Raises:
        OutputError: As `new_file`.
    """
    with _folder_beside(Path(path), overwrite=overwrite):
        pass


def require_apart(output: str | Path, *inputs: object) -> None:
    """Refuse to replace what is being read, or to write into a folder that is read.

    What is written into such a folder is part of the input at the next call.

    Args:
        output: Where a file or a folder shall be, there already or not.
        *inputs: Paths; whatever is no path to something here is passed over.

    Raises:
        OutputError: The output would destroy an input, or become part of one.
    """
    target = Path(output)
    for each in inputs:
        if not isinstance(each, (str, Path)) or not Path(each).exists():
            continue
        source = Path(each)
        if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
            raise OutputError(
                "The output would lie in the folder that is read, and be taken for a part of it "
                "the next time.",
                remedy="Choose a place outside that folder.",
                code="output.in_input",
            )
        if target.exists() and target.samefile(source):
            raise OutputError(
                "The output would replace an input.",
                remedy="Choose another name for the output.",
                code="output.is_input",
            )


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 file, whole or not at all.

    Raises:
        OutputError: As `new_file`.
    """
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_private(files: Mapping[Path, bytes], *, overwrite: bool = False) -> None:
    """Write files with patient data, with permissions of the owner only.

    All are ready before the first appears.

    Args:
        files: Where -> content.
        overwrite: Replace files that are already there.

    Raises:
        OutputError: As `new_file`.
    """
    with ExitStack() as ready:
        for path, data in files.items():
            temporary = ready.enter_context(new_file(path, overwrite=overwrite))
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)


def _folder_beside(target: Path, *, overwrite: bool) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder on the target's own disk, where the file grows unseen."""
    if target.is_dir():
        raise OutputError(
            "There is a folder where the file shall be.",
            remedy="Give the name of a file in that folder, or another name.",
            code="export.folder",
        )
    if target.exists() and not overwrite:
        raise _exists()
    _tell_of_interrupted(target.parent)
    try:
        return tempfile.TemporaryDirectory(prefix=_PART, dir=target.parent)
    except OSError as error:
        raise _not_writable(error) from None


def _put_where_nothing_is(temporary: Path, target: Path) -> None:
    """Give a finished file its name, unless another run was first.

    A link is refused where the name is taken; to look first and rename then would leave a gap.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists() from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise _exists() from None
        os.replace(temporary, target)


def _tell_of_interrupted(folder: Path) -> None:
    """Say how many unfinished files of earlier runs lie in a folder; they may hold patient data."""
    before = time.time() - _INTERRUPTED_AFTER_S
    with suppress(OSError):
        stale = sum(part.stat().st_mtime < before for part in folder.glob(f"{_PART}*"))
        if stale and folder not in _told:
            _told.add(folder)
            logger.warning(
                "%d unfinished results of interrupted runs lie in the output folder (%s*): remove "
                "them if no run is writing there.",
                stale,
                _PART,
            )


def _exists() -> OutputError:
    return OutputError(
        "A file of that name exists.",
        remedy="Choose another name, or pass overwrite=True.",
        code="export.exists",
    )


def _not_writable(error: OSError) -> OutputError:
    # The exception's own text names the path.
    return OutputError(
        f"The file cannot be written ({os.strerror(error.errno or 0)}).",
        remedy="Give a file in an existing folder that you may write to.",
        code="export.write",
    )
