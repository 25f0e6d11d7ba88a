"""A new file appears whole or not at all, and an old one is replaced only when asked.

`new_file` gives a name for any writer to write to; `write_text` and `write_private` write what is
at hand, the second for its owner's eyes alone. `require_writable` refuses before long work what would
be refused after it.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from longllava_domains.errors import OutputError


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
            os.replace(temporary, target)
        except OSError as error:
            raise _not_writable(error) from None


def require_writable(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a place that `new_file` could not write to, before the work that would be lost.

    Raises:
        OutputError: As `new_file`.
    """
    with _folder_beside(Path(path), overwrite=overwrite):
        pass


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
        raise OutputError(
            "A file of that name exists.",
            remedy="Choose another name, or pass overwrite=True.",
            code="export.exists",
        )
    try:
        return tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent)
    except OSError as error:
        raise _not_writable(error) from None


def _not_writable(error: OSError) -> OutputError:
    # The exception's own text names the path.
    return OutputError(
        f"The file cannot be written ({os.strerror(error.errno or 0)}).",
        remedy="Give a file in an existing folder that you may write to.",
        code="export.write",
    )
