"""Files with patient data: whole or not at all, and readable by their owner alone."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from longllava_domains.export.new_file import new_file


def write_private(files: Mapping[Path, bytes], *, overwrite: bool = False) -> None:
    """Write files with permissions of the owner only; all are ready before the first appears.

    Args:
        files: Where -> content.
        overwrite: Replace files that are already there.

    Raises:
        OutputError: A file exists, or a folder is missing, full or not writable.
    """
    with ExitStack() as ready:
        for path, data in files.items():
            temporary = ready.enter_context(new_file(path, overwrite=overwrite))
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
