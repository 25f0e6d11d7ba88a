"""The audit trail of what was sent: JSON lines, appended and flushed, without patient data."""

import getpass
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from longllava_domains.errors import OutputError


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
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
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


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return f"uid {os.getuid()}"
