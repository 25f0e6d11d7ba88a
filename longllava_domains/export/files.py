"""Writing a file with patient data: whole or not at all, and readable by its owner alone."""

import os
import tempfile
from pathlib import Path

from longllava_domains.errors import OutputError


def write_private(path: Path, data: bytes) -> None:
    """Write bytes beside `path` and move them there, with permissions of the owner only.

    Raises:
        OutputError: The folder is missing, full or not writable.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        # The exception's own text names the path.
        raise OutputError(
            f"The file cannot be written ({os.strerror(error.errno or 0)}).",
            remedy="Give a file in an existing folder that you may write to.",
            code="export.write",
        ) from None
