"""The audit trail of what was sent: JSON lines, appended and flushed, without patient data."""

import getpass
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from longllava_domains.errors import OutputError

_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for its reader


@dataclass(frozen=True)
class Audit:
    """The lines about one item.

    Attributes:
        path: File that lines are appended to, created readable by its owner alone.
        user: Who sends; None for the operating system's user.
        item: SHA-256 of the item.
        model: The model that wrote it.
        destination: Where it goes, without credentials.
    """

    path: Path = field(repr=False)
    user: str | None
    item: str
    model: str
    destination: str

    def write(self, event: str, *, code: str | None = None) -> None:
        """Append one line and wait until the disk has it.

        Args:
            event: ``"started"``, ``"sent"``, ``"failed"`` or ``"interrupted"``.
            code: Code of the error that ended a failed attempt.

        Raises:
            OutputError: The line cannot be written.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "user": self.user or _system_user(),
            "item_sha256": self.item,
            "model": self.model,
            "destination": self.destination,
            "code": code,
        }
        data = (json.dumps(line) + "\n").encode("ascii")
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _NO_WAIT, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise OSError
                if _torn(handle):  # the machine stopped in the middle of a line
                    data = b"\n" + data
                # One call for one line, so that lines of two processes do not mix.
                complete = os.write(handle, data) == len(data)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError:
            complete = False
        if not complete:
            raise OutputError(
                "The audit line cannot be written.",
                remedy="Give an audit file in a folder that you may write to, with space left.",
                code="send.audit",
            )


def _torn(handle: int) -> bool:
    """Return whether the last line of a file has no end."""
    size = os.fstat(handle).st_size
    if size == 0:
        return False
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1) != b"\n"


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return f"uid {os.getuid()}"
